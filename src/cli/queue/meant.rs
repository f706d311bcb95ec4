//! What may have been meant where nothing in the queue is of a domain or a route.

use std::path::Path;

use crate::admin::protocol::{Filter, QueueMessage};
use crate::audit::facts::domain_of;
use crate::cli::output::{Console, Failure};
use crate::cli::{configuration, near};
use crate::config::Config;
use crate::model::domain::Domain;
use crate::model::near_domain::NearDomain;
use crate::model::spelling::nearest;

/// Compares with what the configuration names and what waits, as far as it was `listed`.
pub(super) fn hint(
    config: Option<&Path>,
    filter: &Filter,
    listed: &[QueueMessage],
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let config = configuration::load(config).ok().map(|(config, _)| config);
    for domain in [&filter.to_domain, &filter.from_domain].into_iter().flatten() {
        near::hint(&near_to(domain, config.as_ref(), listed), console)?;
    }
    match (&filter.route, &config) {
        (Some(route), Some(config)) => unknown_route(route, config).map_or(Ok(()), |text| console.hint(&text)),
        _ => Ok(()),
    }
}

fn near_to(domain: &Domain, config: Option<&Config>, listed: &[QueueMessage]) -> NearDomain {
    let mut near = NearDomain::to(domain.clone());
    if let Some(config) = config {
        near::see_policies(config, &mut near);
    }
    for message in listed {
        let to = message.recipients.iter().map(|recipient| &recipient.address);
        to.chain([&message.from]).for_each(|address| near.see(domain_of(address)));
    }
    near
}

/// `None` if there is such a route.
fn unknown_route(route: &str, config: &Config) -> Option<String> {
    if config.policies.has_route(route) {
        return None;
    }
    let names: Vec<&str> = config.policies.routes.keys().map(|name| &**name).collect();
    Some(match nearest(route, names.iter().copied()) {
        Some(near) => format!("did you mean the route {near}?"),
        None if names.is_empty() => "the configuration has no [[route]]".to_owned(),
        None => format!("there is no [[route]] of this name; there is {}", names.join(", ")),
    })
}
