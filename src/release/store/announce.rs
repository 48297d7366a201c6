//! Telling people on the download pages that a release is stale or damaged.

use super::{LOCK, PUBLIC_KEY, Store, site};
use crate::model::Result;
use crate::model::name::ImageName;
use crate::release::keys::{PublicKey, Trust};
use crate::release::notices::{self, Notices};

impl Store {
    /// What the pages say now.
    ///
    /// # Errors
    /// Class *host* if the file is there and cannot be read.
    pub fn notices(&self) -> Result<Notices> {
        let bytes = self.place.join(notices::FILE_NAME).read(notices::LIMIT)?;
        Ok(bytes.map(|bytes| notices::parse(&bytes)).unwrap_or_default())
    }

    /// Has the pages of the images in `about` say what `said` has of them and nothing else;
    /// says whether anything was written. Images that are not in `about` keep what is said.
    ///
    /// # Errors
    /// *Untrusted* if no trusted key signed the index; class *host* if something cannot be
    /// written.
    pub fn announce(&self, about: &[ImageName], said: &Notices, trust: &Trust) -> Result<bool> {
        let there = self.notices()?;
        if self.changed(&there, about, said).is_empty() {
            return Ok(false);
        }
        let keys = self.page_keys(trust)?;
        if keys.is_empty() {
            return Ok(false);
        }
        let _lock = self.place.join(LOCK).lock()?;
        // Also of a store that waits to be signed again: its pages are not what is signed.
        let (index, _) = self.index_outlived(trust)?;
        let there = self.notices()?;
        let changed = self.changed(&there, about, said);
        let mut notices = there;
        for image in &changed {
            match said.get(*image).filter(|_| index.images.contains_key(*image)) {
                Some(of_image) => notices.insert((*image).clone(), of_image.clone()),
                None => notices.remove(*image),
            };
        }
        for image in &changed {
            site::write_image(self, &index, image, &notices)?;
        }
        site::write(self, &index, None, &notices, &keys.iter().collect::<Vec<_>>())?;
        // Last: whoever is killed before this finds the difference again.
        self.place.join(notices::FILE_NAME).put(&notices::write(&notices)?)?;
        Ok(true)
    }

    fn changed<'i>(&self, there: &Notices, about: &'i [ImageName], said: &Notices) -> Vec<&'i ImageName> {
        about.iter().filter(|image| there.get(*image) != said.get(*image)).collect()
    }

    /// The keys that the pages name: those beside them, as far as they are known.
    fn page_keys(&self, trust: &Trust) -> Result<Vec<PublicKey>> {
        let known = trust.keys().iter().map(|trusted| &trusted.key);
        let further = known.clone().map(|key| format!("bootwright.{}.pub", key.tag()));
        let mut keys = Vec::new();
        for name in std::iter::once(PUBLIC_KEY.to_owned()).chain(further) {
            let pem = self.place.join(name).read(64 << 10)?;
            let there = pem.and_then(|pem| PublicKey::parse(&String::from_utf8_lossy(&pem)).ok());
            keys.extend(there.filter(|key| trust.find(key).is_some() && !keys.contains(key)));
        }
        if keys.is_empty() {
            keys.extend(trust.keys().last().map(|trusted| trusted.key.clone()));
        }
        Ok(keys)
    }
}
