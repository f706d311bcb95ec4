//! Names of messages, sessions and audit records: 26 characters that sort by time (ULID).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use super::time::Timestamp;

/// A text that is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 26 letters and digits are expected")]
pub struct IdError;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// Made of the time it is made at and 80 random bits, which the caller draws.
            pub fn new(now: Timestamp, random: u128) -> Self {
                let millis = u64::try_from(now.micros() / 1000).unwrap_or(0);
                Self(Ulid::from_parts(millis, random).0)
            }

            pub const fn from_u128(value: u128) -> Self {
                Self(value)
            }

            pub const fn as_u128(self) -> u128 {
                self.0
            }

            /// When it was made, to the millisecond.
            pub fn made_at(self) -> Timestamp {
                let micros = i64::try_from(Ulid(self.0).timestamp_ms()).unwrap_or(i64::MAX).saturating_mul(1000);
                Timestamp::from_micros(micros)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut buffer = [0; ulid::ULID_LEN];
                f.write_str(Ulid(self.0).array_to_str(&mut buffer))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Ulid::from_string(text).map(|ulid| Self(ulid.0)).map_err(|_| IdError)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(
    /// A message in the spool. Told to the sender in the 250, so that both sides can talk about it.
    MessageId
);
id_type!(
    /// One SMTP session, inbound or outbound.
    SessionId
);
id_type!(
    /// One audit record, made before the record is written so that a reply can name it.
    RecordId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let early = MessageId::new(Timestamp::from_secs(1), u128::MAX);
        let late = MessageId::new(Timestamp::from_secs(2), 0);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!("nonsense".parse::<MessageId>(), Err(IdError));
    }
}
