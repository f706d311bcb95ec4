//! The MTA-STS policies that the daemon keeps: asked of it, or read from what it left behind where none runs.

use crate::admin::protocol::learned::KeptPolicy;
use crate::admin::protocol::{Request, Response};
use crate::config::Config;
use crate::facts::sts_cache;
use crate::facts::sts_plan::CachedPolicy;
use crate::model::domain::Domain;

use super::learned::source::{is_silent, memory_left_behind};
use super::output::Failure;
use super::socket;

/// The policy that is kept of a domain, whether or not it still holds. The error says why that cannot be known here.
pub(super) fn policy(config: &Config, domain: &Domain) -> Result<Option<CachedPolicy>, String> {
    let at = &config.admin.socket;
    if is_silent(at) {
        return Ok(sts_cache::kept(&memory_left_behind(config).map_err(Failure::into_message)?, domain));
    }
    match socket::ask(at, &Request::StsShow { domain: domain.clone() }).map_err(Failure::into_message)? {
        Response::Sts { kept } => Ok(kept.as_ref().and_then(KeptPolicy::cached)),
        _ => Err(socket::unexpected().into_message()),
    }
}
