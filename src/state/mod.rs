//! The database: runs, events, leases. Everything in it can be deleted.
