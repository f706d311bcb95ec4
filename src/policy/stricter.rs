//! What each policy would ask for if it were one step stricter than it is.
//!
//! The ladder of `[inbound]`: TLS at all, TLSv1.2, forward secrecy, TLSv1.3. That of deliveries: TLS at all, TLSv1.2, a
//! verified certificate, TLSv1.3. A policy that only reports is enforced first.

use std::sync::Arc;

use crate::model::address::ReversePath;
use crate::model::cipher::CipherGrade;
use crate::model::domain::DomainPattern;
use crate::model::time::Timestamp;
use crate::model::tls::ProtocolVersion;

use super::in_force::InForce;
use super::outbound::{Requirement, decide};
use super::rules::{Defaults, DomainPolicy, PolicySet};
use super::settings::{InboundLayer, InboundTls, Mode, OutboundLayer, OutboundTls, Route, Source, Sourced};
use super::timed::{Asker, Rules, Shadow, Step, lay};

/// No line of a file has this number: the key stands there only in thought.
const NO_LINE: u32 = 0;

/// The next step of one policy in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextStep {
    /// The domain file; empty for the defaults.
    pub file: Arc<str>,
    pub is_inbound: bool,
    /// The key that it sets, as a file has it: `min_version = "TLSv1.2"`.
    pub setting: String,
}

/// The policies of which each is one step stricter, and the steps. What is as strict as can be has none.
#[derive(Clone, Debug)]
pub struct Stricter {
    pub policies: PolicySet,
    pub steps: Vec<NextStep>,
}

/// A layer that asks for more, and the key that it sets.
#[derive(Debug)]
struct Raised<L> {
    layer: L,
    setting: String,
}

/// Takes one step with every policy as it is in force at that moment.
pub fn one_step(policies: &PolicySet, at: Timestamp) -> Stricter {
    let mut steps = Vec::new();
    let mut defaults = policies.defaults.clone();
    raise_defaults(policies, at, &mut defaults, &mut steps);
    let raised = policies.policies().map(|policy| {
        let mut policy = DomainPolicy::clone(policy);
        raise_file(policies, at, &mut policy, &mut steps);
        policy
    });
    // The patterns are those of a set that has no conflict.
    let mut raised = PolicySet::new(defaults, raised.collect()).unwrap_or_else(|_| policies.clone());
    raised.enforcement.clone_from(&policies.enforcement);
    raised.tls_report_address.clone_from(&policies.tls_report_address);
    raised.routes.clone_from(&policies.routes);
    Stricter { policies: raised, steps }
}

/// The file that a rule of the stricter policies stands in, if it is one of the steps; empty for the defaults.
pub fn stepped_file(rule: &Source) -> Option<&Arc<str>> {
    match rule {
        Source::File { file, line: NO_LINE } => Some(file),
        _ => None,
    }
}

fn raise_defaults(policies: &PolicySet, at: Timestamp, defaults: &mut Defaults, steps: &mut Vec<NextStep>) {
    let file: Arc<str> = "".into();
    let in_force = InForce::of(&lay(&[&policies.defaults.inbound], &nobody(at), Shadow::Left).layers);
    if let Some(raised) = next_inbound(&in_force, &file) {
        steps.push(NextStep { file: file.clone(), is_inbound: true, setting: raised.setting });
        lay_on(&mut defaults.inbound, raised.layer, &file, at);
    }
    let requirement = decide(policies, None, &nobody(at)).requirement;
    if let Some(raised) = next_outbound(&requirement, &file) {
        steps.push(NextStep { file: file.clone(), is_inbound: false, setting: raised.setting });
        match &mut defaults.route {
            Some(route) => raise_route(route, raised.layer),
            None => lay_on(&mut defaults.outbound, raised.layer, &file, at),
        }
    }
}

fn raise_file(policies: &PolicySet, at: Timestamp, policy: &mut DomainPolicy, steps: &mut Vec<NextStep>) {
    let file = policy.file.clone();
    if let Some(raised) = next_inbound(&InForce::usual(policies, policy, at), &file) {
        steps.push(NextStep { file: file.clone(), is_inbound: true, setting: raised.setting });
        lay_on(&mut policy.inbound, raised.layer, &file, at);
    }
    let Some(domain) = policy.patterns.first().and_then(DomainPattern::one_of) else { return };
    let requirement = decide(policies, Some(&domain), &nobody(at)).requirement;
    if let Some(raised) = next_outbound(&requirement, &file) {
        steps.push(NextStep { file: file.clone(), is_inbound: false, setting: raised.setting });
        match &mut policy.route {
            Some(route) => raise_route(route, raised.layer),
            None => lay_on(&mut policy.outbound, raised.layer, &file, at),
        }
    }
}

const fn nobody(at: Timestamp) -> Asker<'static> {
    Asker { at, client: None, sender: &ReversePath::Null }
}

fn lay_on<L>(rules: &mut Rules<L>, layer: L, file: &Arc<str>, at: Timestamp) {
    rules.steps.push(Step { from: at, source: in_thought(file), layer });
    // The layers of a level are laid in this order.
    rules.steps.sort_by_key(|step| step.from);
}

fn raise_route(route: &mut Arc<Route>, raised: OutboundLayer) {
    let route = Arc::make_mut(route);
    let OutboundLayer { tls, min_version, .. } = raised;
    route.tls.tls = tls.or(route.tls.tls.take());
    route.tls.min_version = min_version.or(route.tls.min_version.take());
}

fn in_thought(file: &Arc<str>) -> Source {
    Source::File { file: file.clone(), line: NO_LINE }
}

fn next_inbound(in_force: &InForce, file: &Arc<str>) -> Option<Raised<InboundLayer>> {
    let mut layer = InboundLayer::default();
    let version = in_force.min_version.as_ref().map(|version| version.value);
    let setting = if in_force.effective_tls() == InboundTls::Optional {
        layer.tls = Some(thought(file, InboundTls::Required));
        "tls = \"required\"".to_owned()
    } else if in_force.mode.value == Mode::Report {
        // What is not met then is told to be this step's, wherever it is written.
        layer.tls = Some(thought(file, InboundTls::Required));
        layer.min_version = version.map(|version| thought(file, version));
        layer.cipher = Some(thought(file, in_force.cipher.value));
        layer.mode = Some(thought(file, Mode::Enforce));
        "mode = \"enforce\"".to_owned()
    } else if version < Some(ProtocolVersion::Tls1_2) {
        layer.min_version = Some(thought(file, ProtocolVersion::Tls1_2));
        "min_version = \"TLSv1.2\"".to_owned()
    } else if version < Some(ProtocolVersion::Tls1_3) && in_force.cipher.value < CipherGrade::ForwardSecret {
        layer.cipher = Some(thought(file, CipherGrade::ForwardSecret));
        "cipher = \"forward-secret\"".to_owned()
    } else if version < Some(ProtocolVersion::Tls1_3) {
        layer.min_version = Some(thought(file, ProtocolVersion::Tls1_3));
        "min_version = \"TLSv1.3\"".to_owned()
    } else {
        return None;
    };
    Some(Raised { layer, setting })
}

fn next_outbound(requirement: &Requirement, file: &Arc<str>) -> Option<Raised<OutboundLayer>> {
    if !requirement.permits_tls() {
        return None;
    }
    let mut layer = OutboundLayer::default();
    let version = requirement.min_version.as_ref().map(|version| version.value);
    let setting = if requirement.permits_plaintext() {
        layer.tls = Some(thought(file, OutboundTls::Encrypt));
        "tls = \"encrypt\"".to_owned()
    } else if version < Some(ProtocolVersion::Tls1_2) {
        layer.min_version = Some(thought(file, ProtocolVersion::Tls1_2));
        "min_version = \"TLSv1.2\"".to_owned()
    } else if !requirement.wants_identity() {
        layer.tls = Some(thought(file, OutboundTls::Verify));
        "tls = \"verify\"".to_owned()
    } else if version < Some(ProtocolVersion::Tls1_3) {
        layer.min_version = Some(thought(file, ProtocolVersion::Tls1_3));
        "min_version = \"TLSv1.3\"".to_owned()
    } else {
        return None;
    };
    Some(Raised { layer, setting })
}

fn thought<T>(file: &Arc<str>, value: T) -> Sourced<T> {
    Sourced { value, source: in_thought(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn set<T>(value: T) -> Option<Sourced<T>> {
        Some(Sourced::built_in(value))
    }

    /// Climbs from a policy to the top and gives the settings on the way.
    fn climbed(mut policies: PolicySet, file: &str, is_inbound: bool) -> Vec<String> {
        let mut settings = Vec::new();
        loop {
            let stricter = one_step(&policies, NOW);
            let of_file = |step: &&NextStep| &*step.file == file && step.is_inbound == is_inbound;
            let Some(step) = stricter.steps.iter().find(of_file) else { return settings };
            settings.push(step.setting.clone());
            policies = stricter.policies;
        }
    }

    fn policies(inbound: InboundLayer, outbound: OutboundLayer, route: Option<OutboundLayer>) -> PolicySet {
        let route = route.map(|tls| {
            let source = Source::BuiltIn;
            let (name, hosts, ip) = ("a".into(), Vec::new(), Default::default());
            let bare =
                Route { name, source, hosts, tls, source_address: None, ehlo: None, ip, client_certificate: None };
            Arc::new(bare)
        });
        let policy = DomainPolicy {
            file: "a".into(),
            patterns: vec![DomainPattern::parse("*.a.example").unwrap()],
            inbound: inbound.into(),
            outbound: outbound.into(),
            route,
            ..DomainPolicy::default()
        };
        PolicySet::new(Defaults::default(), vec![policy]).unwrap()
    }

    #[test]
    fn a_policy_climbs_from_where_it_stands() {
        let versions = ["min_version = \"TLSv1.2\"", "cipher = \"forward-secret\"", "min_version = \"TLSv1.3\""];
        for (layer, expected) in [
            (InboundLayer::default(), ["tls = \"required\""].into_iter().chain(versions).collect::<Vec<_>>()),
            (InboundLayer { tls: set(InboundTls::Required), ..InboundLayer::default() }, versions.to_vec()),
            (
                InboundLayer {
                    min_version: set(ProtocolVersion::Tls1_2),
                    cipher: set(CipherGrade::Aead),
                    mode: set(Mode::Report),
                    ..InboundLayer::default()
                },
                vec!["mode = \"enforce\"", "min_version = \"TLSv1.3\""],
            ),
            (InboundLayer { min_version: set(ProtocolVersion::Tls1_3), ..InboundLayer::default() }, vec![]),
        ] {
            assert_eq!(climbed(policies(layer, OutboundLayer::default(), None), "a", true), expected);
        }
        let all = ["tls = \"encrypt\"", "min_version = \"TLSv1.2\"", "tls = \"verify\"", "min_version = \"TLSv1.3\""];
        for (tls, expected) in
            [(OutboundTls::Off, &[][..]), (OutboundTls::Opportunistic, &all[..]), (OutboundTls::Encrypt, &all[1..])]
        {
            let layer = OutboundLayer { tls: set(tls), ..OutboundLayer::default() };
            let by_mx = policies(InboundLayer::default(), layer.clone(), None);
            assert_eq!(climbed(by_mx, "a", false), expected, "{tls:?}");
            let by_route = policies(InboundLayer::default(), OutboundLayer::default(), Some(layer));
            assert_eq!(climbed(by_route, "a", false), expected, "{tls:?} by a route");
        }
        assert_eq!(climbed(PolicySet::default(), "", false), all);
    }

    #[test]
    fn a_step_counts_more_than_one_that_came_before_it_and_is_known_by_its_source() {
        let mut before = policies(InboundLayer::default(), OutboundLayer::default(), None);
        let mut policy = DomainPolicy::clone(before.policies().next().unwrap());
        let old = InboundLayer { min_version: set(ProtocolVersion::Tls1_2), ..InboundLayer::default() };
        policy.inbound.steps.push(Step { from: NOW, source: Source::BuiltIn, layer: old });
        before = PolicySet::new(Defaults::default(), vec![policy]).unwrap();
        let after = one_step(&before, NOW).policies;
        let in_force = InForce::usual(&after, after.policies().next().unwrap(), NOW);
        assert_eq!(in_force.cipher.value, CipherGrade::ForwardSecret);
        assert_eq!(stepped_file(&in_force.cipher.source).map(|file| &**file), Some("a"));
        assert_eq!(stepped_file(&Source::File { file: "a".into(), line: 12 }), None);
    }
}
