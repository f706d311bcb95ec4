//! The closed sets of words that series have as labels.

/// The end of one attempt, for `gatepost_smtp_deliveries_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    Delivered,
    Deferred,
    Bounced,
    Expired,
    /// It goes by another route now.
    Rerouted,
}

impl DeliveryResult {
    pub(super) const ALL: [Self; 5] = [Self::Delivered, Self::Deferred, Self::Bounced, Self::Expired, Self::Rerouted];

    /// The ends that have a reason.
    pub(super) const FAILED: [Self; 4] = [Self::Deferred, Self::Bounced, Self::Expired, Self::Rerouted];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
            Self::Expired => "expired",
            Self::Rerouted => "rerouted",
        }
    }
}

/// How a TLS report is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Mail,
    Https,
}

impl Transport {
    pub(super) const ALL: [Self; 2] = [Self::Mail, Self::Https];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Https => "https",
        }
    }
}

/// What came of a try to send one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportResult {
    /// Taken by the web server, or put into the queue.
    Sent,
    /// To be tried again.
    Failed,
    GivenUp,
}

impl ReportResult {
    pub(super) const ALL: [Self; 3] = [Self::Sent, Self::Failed, Self::GivenUp];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::GivenUp => "given-up",
        }
    }
}

/// The parts of a delivery that are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Resolve,
    Connect,
    Tls,
    Transfer,
}

impl Phase {
    pub(super) const ALL: [Self; 4] = [Self::Resolve, Self::Connect, Self::Tls, Self::Transfer];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Transfer => "transfer",
        }
    }
}
