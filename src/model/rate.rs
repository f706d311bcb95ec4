//! How many of something in how much time.

use std::time::Duration;

/// So many messages in so much time. Neither is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    pub messages: u32,
    pub per: Duration,
}
