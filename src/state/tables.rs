//! The rows as they are stored. Times are milliseconds since 1970; values of the model are
//! their JSON.

/// One run.
pub(super) mod run {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "runs")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub image: String,
        pub recipe: String,
        pub version: String,
        pub attempt: i64,
        /// The state's short name, for queries.
        pub phase: String,
        /// The state.
        pub state: String,
        pub created: i64,
        pub updated: i64,
        /// Failed attempts, those that the user stopped not counted.
        pub failures: i64,
        /// The last failure; it stays while the next attempt runs.
        pub failure: Option<String>,
        pub failed_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// One event of a run.
pub(super) mod event {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "events")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub run: Uuid,
        pub time: i64,
        pub event: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// One lease.
pub(super) mod lease {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "leases")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        /// New with every acquisition; what is compared before a swap.
        pub token: Uuid,
        pub holder: String,
        /// Boot id and PID namespace, which `pid` and `started` are numbers of.
        pub boot: String,
        pub pid: i64,
        /// The process's start, in clock ticks since boot, if it could be read.
        pub started: Option<i64>,
        pub expires: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// When an image's packages were resolved last, and how often that failed since.
pub(super) mod check {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "checks")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub image: String,
        pub checked: Option<i64>,
        /// The digest of the request that failed.
        pub request: Option<String>,
        pub failures: i64,
        pub failure: Option<String>,
        pub failed_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Work on published releases that failed.
pub(super) mod attempt {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "attempts")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub image: String,
        /// What kind of work.
        #[sea_orm(primary_key, auto_increment = false)]
        pub work: String,
        /// The digest of what was to be done.
        pub of: String,
        pub failures: i64,
        pub failure: String,
        pub failed_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A lock that was made because the catalog has none.
pub(super) mod made_lock {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "made_locks")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub image: String,
        /// The digest of the request that it answers.
        pub request: String,
        pub lock: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What the files of a published release looked like when they were last hashed.
pub(super) mod look {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "looks")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub image: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub version: String,
        /// When every byte was last hashed.
        pub checked: Option<i64>,
        pub files: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// One Image Builder of OpenWrt.
pub(super) mod builder {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "openwrt_builders")]
    pub struct Model {
        /// The digest of its archive.
        #[sea_orm(primary_key, auto_increment = false)]
        pub sha256: String,
        pub release: String,
        pub target: String,
        pub subtarget: String,
        pub url: String,
        pub state: String,
        /// Bytes on disk.
        pub size: i64,
        pub last_use: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// One card that was written, or was to be.
pub(super) mod flash {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "flashes")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub started: i64,
        pub slot: String,
        pub card: Option<String>,
        pub image: Option<String>,
        /// All of it.
        pub record: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// One flash job.
pub(super) mod flash_job {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "flash_jobs")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub writer: String,
        pub slot: String,
        /// The state's name.
        pub state: String,
        /// What is asked for.
        pub job: String,
        pub attempt: i64,
        /// Which installation of the card writer claimed it last.
        pub instance: Option<String>,
        /// When the claim ends.
        pub lease: Option<i64>,
        pub said: Option<String>,
        pub receipt: Option<String>,
        pub created: i64,
        pub updated: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A token that is good for one enrolment.
pub(super) mod writer_token {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "writer_tokens")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        /// Its digest.
        pub token: String,
        pub writer: String,
        pub expires: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The key that a card writer enrolled with.
pub(super) mod writer_key {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "writer_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub writer: String,
        pub key: String,
        pub enrolled: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A request of a card writer that was answered.
pub(super) mod writer_nonce {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "writer_nonces")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub nonce: String,
        pub expires: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Requests of the Attended Sysupgrade API.
pub(super) mod sysupgrade {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "sysupgrades")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub hash: String,
        /// What was asked.
        pub request: String,
        /// The state's name.
        pub state: String,
        pub enqueued: i64,
        /// When it is forgotten; none while it is open.
        pub expires: Option<i64>,
        /// The digest of the recipe.
        pub recipe: Option<String>,
        /// What is said of it.
        pub answer: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
