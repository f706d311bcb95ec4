//! What settings that are thought of overrule: values that they take the place of, and what contradicts them.

use crate::model::cipher::CipherGrade;
use crate::model::time::Timestamp;
use crate::policy::in_force::Because;
use crate::policy::provenance::Keys as Written;
use crate::policy::settings::{ClientCertificateRule, InboundTls, OutboundTls, Source};

use super::place::{At, Place};
use super::policy_tables::{InboundKeys, TlsKeys};
use super::timed_checks::in_force;
use super::timed_tables::{Keys, Timed};

/// A key that was in force, and is not when the settings are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overruled {
    pub key: &'static str,
    pub value: String,
    pub source: Source,
    /// The moment of the step that it stands in.
    pub step: Option<Timestamp>,
    pub how: How,
}

/// What becomes of such a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The settings give it another value.
    Replaced,
    /// The settings need this value of it, without saying so.
    Raised(&'static str),
    /// It contradicts the settings, and holds no more.
    Dropped,
    /// It contradicts the settings, and holds: it stands in `[default]`, which other domains share.
    Kept,
}

impl How {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Raised(_) => "raised",
            Self::Dropped => "dropped",
            Self::Kept => "kept",
        }
    }
}

/// One table that settings are laid over.
#[derive(Debug)]
pub(super) struct Overruling<'t, 'a, K> {
    pub(super) below: &'t mut Timed<'a, K>,
    /// `None` for a table of `[default]` itself, and for a route.
    pub(super) default: Option<&'t Timed<'a, K>>,
    /// Steps from later on stay as they are.
    pub(super) at: Timestamp,
}

/// Keys that can contradict each other.
pub(super) trait Settable<'a>: Keys<'a, Layer: Written> {
    /// Says `tls` where the other keys need more of it than one of `layers` has. Gives what it says then.
    fn raise(&mut self, layers: &[&Self]) -> Option<&'static str>;

    /// The keys of `layer` that `self`, laid over it, contradicts.
    fn contradicted(&self, layer: &Self) -> Vec<&'static str>;

    /// The keys of a default that hold although `self` contradicts them.
    fn kept(&self, default: &Self) -> Vec<&'static str>;

    fn remove(&mut self, key: &str);
}

impl<'a, K: Settable<'a>> Overruling<'_, 'a, K> {
    /// Lays `over` above the base and the steps in force.
    pub(super) fn lay(self, mut over: K) -> Vec<Overruled> {
        let Self { below, default, at } = self;
        let before = in_force(below, default, at);
        let raised = over.raise(&layers(below, &before, at));
        let dropped: Vec<&'static str> =
            layers(below, &before, at).iter().flat_map(|layer| over.contradicted(layer)).collect();
        let set: Vec<&'static str> = keys(&over).iter().map(|row| row.key).collect();
        let how = |row: &Because| match raised.filter(|_| row.key == "tls") {
            Some(value) => Some(How::Raised(value)).filter(|_| row.value != value),
            None if set.contains(&row.key) => Some(How::Replaced),
            None if dropped.contains(&row.key) => Some(How::Dropped),
            None => None,
        };
        let own = topmost(below, at);
        let mut overruled = told(&own, how);
        if let Some(default) = default {
            let kept = over.kept(&in_force(default, None, at));
            let is_raised = raised.is_some() && own.iter().all(|(_, row)| row.key != "tls");
            overruled.extend(told(&topmost(default, at), |row| match row.key {
                "tls" if is_raised => how(row),
                key => kept.contains(&key).then_some(How::Kept),
            }));
        }
        let gone = || set.iter().chain(&dropped);
        for step in below.steps.iter_mut().filter(|step| step.from <= at) {
            gone().for_each(|key| step.keys.remove(key));
        }
        gone().for_each(|key| below.base.remove(key));
        below.base = over.over(&below.base);
        overruled
    }
}

/// What is in force, and every layer of it.
fn layers<'t, 'a, K>(below: &'t Timed<'a, K>, before: &'t K, at: Timestamp) -> Vec<&'t K> {
    let steps = below.steps.iter().filter(|step| step.from <= at).map(|step| &step.keys);
    [before, &below.base].into_iter().chain(steps).collect()
}

/// A key with the moment of its step.
type Row = (Option<Timestamp>, Because);

/// The keys in force of one level.
fn topmost<'a, K: Settable<'a>>(level: &Timed<'a, K>, at: Timestamp) -> Vec<Row> {
    let steps = level.steps.iter().filter(|step| step.from <= at).map(|step| (Some(step.from), &step.keys));
    let layers: Vec<_> = [(None, &level.base)].into_iter().chain(steps).collect();
    let mut rows: Vec<Row> = Vec::new();
    for (step, layer) in layers.into_iter().rev() {
        for row in keys(layer) {
            if rows.iter().all(|(_, upper)| upper.key != row.key) {
                rows.push((step, row));
            }
        }
    }
    rows
}

fn told(rows: &[Row], how: impl Fn(&Because) -> Option<How>) -> Vec<Overruled> {
    let of_row = |(step, row): &Row| {
        let Because { key, value, source } = row.clone();
        Some(Overruled { key, value, source, step: *step, how: how(row)? })
    };
    rows.iter().filter_map(of_row).collect()
}

fn keys<'a, K: Settable<'a>>(layer: &K) -> Vec<Because> {
    layer.layer().written()
}

impl InboundKeys<'_> {
    fn floor_keys(&self) -> Vec<&'static str> {
        let version = self.min_version.as_ref().map(|_| "min_version");
        let cipher = self.cipher.as_ref().filter(|at| at.value > CipherGrade::Any).map(|_| "cipher");
        let asked = self.client_certificate.as_ref().filter(|at| at.value != ClientCertificateRule::None);
        version.into_iter().chain(cipher).chain(asked.map(|_| "client_certificate")).collect()
    }

    fn says(&self, tls: InboundTls) -> bool {
        self.tls.as_ref().is_some_and(|at| at.value == tls)
    }
}

impl<'a> Settable<'a> for InboundKeys<'a> {
    fn raise(&mut self, layers: &[&Self]) -> Option<&'static str> {
        let floor = self.floor_places().into_iter().flatten().next()?.clone();
        if self.tls.is_some() || !layers.iter().any(|layer| layer.says(InboundTls::Optional)) {
            return None;
        }
        self.tls = Some(At { value: InboundTls::Required, place: floor });
        Some(InboundTls::Required.as_str())
    }

    fn contradicted(&self, layer: &Self) -> Vec<&'static str> {
        if self.says(InboundTls::Optional) && self.floor_keys().is_empty() { layer.floor_keys() } else { Vec::new() }
    }

    fn kept(&self, default: &Self) -> Vec<&'static str> {
        let mut kept = self.contradicted(default);
        let written = [self.min_version.is_some(), self.cipher.is_some(), self.client_certificate.is_some()];
        let own = ["min_version", "cipher", "client_certificate"].into_iter().zip(written);
        let own: Vec<_> = own.filter_map(|(key, is_written)| is_written.then_some(key)).collect();
        kept.retain(|key| !own.contains(key));
        kept
    }

    fn remove(&mut self, key: &str) {
        match key {
            "tls" => self.tls = None,
            "min_version" => self.min_version = None,
            "cipher" => self.cipher = None,
            "client_certificate" => self.client_certificate = None,
            "applies_to" => self.applies_to = None,
            "mode" => self.mode = None,
            "refusal_text" => self.refusal_text = None,
            "refusal_url" => self.refusal_url = None,
            _ => {}
        }
    }
}

impl<'a> TlsKeys<'a> {
    /// The least `tls` that has a meaning beside the other keys.
    fn needed(&self) -> Option<(OutboundTls, Place<'a>)> {
        let identity = self.identity_places().next().map(|place| (OutboundTls::Verify, place.clone()));
        identity.or_else(|| self.floor_places().next().map(|place| (OutboundTls::Encrypt, place.clone())))
    }
}

impl<'a> Settable<'a> for TlsKeys<'a> {
    fn raise(&mut self, layers: &[&Self]) -> Option<&'static str> {
        let (needed, place) = self.needed().filter(|_| self.tls.is_none())?;
        let is_lacking = |tls: OutboundTls| match needed {
            OutboundTls::Verify => tls < needed,
            _ => tls == OutboundTls::Off,
        };
        let mut written = layers.iter().filter_map(|layer| layer.tls.as_ref());
        let is_unwritten = layers.iter().all(|layer| layer.tls.is_none());
        if written.any(|tls| is_lacking(tls.value)) || is_unwritten && is_lacking(OutboundTls::Opportunistic) {
            self.tls = Some(At { value: needed, place });
            return Some(needed.as_str());
        }
        None
    }

    fn contradicted(&self, layer: &Self) -> Vec<&'static str> {
        let Some(tls) = self.tls.as_ref().map(|tls| tls.value).filter(|tls| *tls < OutboundTls::Verify) else {
            return Vec::new();
        };
        let is_off = tls == OutboundTls::Off;
        let version = layer.min_version.as_ref().filter(|_| is_off).map(|_| "min_version");
        let cipher = layer.cipher.as_ref().filter(|_| is_off).map(|_| "cipher");
        let names = layer.match_names.as_ref().filter(|_| self.match_names.is_none()).map(|_| "match");
        let hashes = layer.fingerprints.as_ref().filter(|_| self.fingerprints.is_none()).map(|_| "fingerprints");
        [version, cipher, names, hashes].into_iter().flatten().collect()
    }

    /// Names count only with `verify`, and a floor of the default beside `off` is an error.
    fn kept(&self, _default: &Self) -> Vec<&'static str> {
        Vec::new()
    }

    fn remove(&mut self, key: &str) {
        match key {
            "tls" => self.tls = None,
            "min_version" => self.min_version = None,
            "cipher" => self.cipher = None,
            "match" => self.match_names = None,
            "fingerprints" => self.fingerprints = None,
            _ => {}
        }
    }
}
