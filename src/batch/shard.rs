//! The part of all images that one of several processes explains.

use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::error::{Error, Kind};

/// One of `count` parts. Which part an image belongs to depends on its id alone, so images that are
/// added later move none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether an image belongs to this part.
    #[must_use]
    pub fn includes(self, id: &str) -> bool {
        (id_hash(id) % u128::from(self.count)) == u128::from(self.index)
    }

    /// The folder of its results within those of the run; none if it is the whole.
    #[must_use]
    pub fn folder(self) -> Option<String> {
        (self.count > 1).then(|| format!("shard-{}-of-{}", self.index, self.count))
    }
}

/// The first 128 bits of the SHA-256 of an id, which stand for it where millions are remembered.
pub(super) fn id_hash(id: &str) -> u128 {
    let digest = Sha256::digest(id.as_bytes());
    digest.iter().take(16).fold(0, |hash, &byte| hash << 8 | u128::from(byte))
}

impl FromStr for Shard {
    type Err = Error;

    /// Reads `I/N`, where I counts from 0 as a Kubernetes job's completion index does.
    fn from_str(text: &str) -> Result<Self, Error> {
        let numbers = text.split_once('/').and_then(|(index, count)| {
            Some((index.trim().parse::<u32>().ok()?, count.trim().parse::<u32>().ok()?))
        });
        match numbers {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            Some((index, count)) if count > 0 => {
                let detail = format!("{index}/{count}: shards count from 0 to {}", count - 1);
                Err(Error::new(Kind::Option, detail).about("shard"))
            }
            _ => {
                let detail = format!("'{text}' is no shard: write I/N, such as 0/8");
                Err(Error::new(Kind::Option, detail).about("shard"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_belongs_to_one_shard() {
        let shards: Vec<Shard> = (0..4).map(|index| Shard { index, count: 4 }).collect();
        let mut sizes = [0; 4];
        for number in 0..1000 {
            let id = format!("in/{number}.jpg");
            let of: Vec<usize> = (0..4).filter(|&index| shards[index].includes(&id)).collect();
            assert_eq!(of.len(), 1, "{id}");
            sizes[of[0]] += 1;
            assert!(Shard::WHOLE.includes(&id));
        }
        assert!(sizes.iter().all(|&size| size > 200), "{sizes:?}");
    }

    #[test]
    fn shards_count_from_0() {
        assert_eq!("3/4".parse::<Shard>().unwrap(), Shard { index: 3, count: 4 });
        assert_eq!("3/4".parse::<Shard>().unwrap().folder().unwrap(), "shard-3-of-4");
        assert_eq!("0/1".parse::<Shard>().unwrap(), Shard::WHOLE);
        assert_eq!(Shard::WHOLE.folder(), None);
        let wrong = |text: &str| text.parse::<Shard>().unwrap_err().to_string();
        assert_eq!(wrong("4/4"), "4/4: shards count from 0 to 3");
        for text in ["", "4", "/", "0/0", "-1/4", "a/b", "1/4/4", "0/99999999999"] {
            assert!(wrong(text).ends_with("write I/N, such as 0/8"), "{text}");
        }
    }
}
