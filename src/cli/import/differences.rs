//! Every way in which what is carried over differs from Postfix, with what to do about it.

use super::report::Effect;

/// A closed list, so that each has its words and its place in the document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Difference {
    /// DANE and MTA-STS are followed where Postfix does not look.
    PublishedIsFollowed,
    /// `may` with versions left out.
    OptionalProtocols,
    /// `may` with ciphers left out.
    OptionalCiphers,
    ProtocolsCapped,
    ProtocolsGap,
    HighCiphers,
    CipherListAsGrade,
    CipherList,
    ExcludedCiphersAsGrade,
    /// Ciphers that are taken though Postfix leaves them out.
    ExcludedCiphersKept(String),
    NullCiphers,
    UnsignedMx,
    OneLabelBelow,
    NothingBelow,
    NoRoots,
    AlsoSystemRoots,
    RootsMissing(String),
    WeakFingerprint(String),
    UnusablePolicy(String),
    NoNameToMatch,
    Servername,
    Attribute(String),
    DaneWithoutDnssec,
    DaneMinimum,
    DnssecHere,
    MxOfNextHop,
    UnequalHops,
    WrapperMode,
    PerSiteHosts,
    PolicyUnused,
    Nowhere(String),
    MxBesideDefaultRoute,
    Mailboxes(String),
    AnyRecipient(String),
    SubdomainsNotRelayed,
    LocalhostLeftOut,
    ListenerAddresses,
    InboundLevels,
    InboundProtocolsCapped,
    InboundOptionalCiphers,
    PostmasterExempt,
    ClientRoots,
    SelfSigned(String),
    Retry,
    DelayNotice,
    SizeUnlimited,
    SourceOnRoutesOnly(&'static str),
    OutOfBounds(String),
    NetworkInterfaces,
    RelayClosed,
}

impl Difference {
    pub(super) fn effect(&self) -> Effect {
        use Difference::*;
        match self {
            ExcludedCiphersKept(_)
            | NoRoots
            | DaneMinimum
            | InboundLevels
            | PostmasterExempt
            | CipherList
            | HighCiphers
            | AnyRecipient(_) => Effect::Weaker,
            RootsMissing(_) | WeakFingerprint(_) | UnusablePolicy(_) | NoNameToMatch | UnequalHops | WrapperMode
            | Nowhere(_) | Mailboxes(_) | SelfSigned(_) => Effect::Held,
            PublishedIsFollowed
            | ProtocolsCapped
            | ExcludedCiphersAsGrade
            | NullCiphers
            | UnsignedMx
            | OneLabelBelow
            | NothingBelow
            | AlsoSystemRoots
            | DaneWithoutDnssec
            | SubdomainsNotRelayed
            | InboundProtocolsCapped
            | NetworkInterfaces
            | RelayClosed
            | ProtocolsGap => Effect::Stricter,
            _ => Effect::Other,
        }
    }

    pub(super) fn because(&self) -> String {
        use Difference::*;
        match self {
            ExcludedCiphersKept(list) => format!("no grade leaves out by itself what is excluded here: {list}"),
            RootsMissing(file) => format!("the roots that may vouch cannot be read here: {file}"),
            WeakFingerprint(digest) => format!("fingerprints are by {digest}, and here by SHA-256 alone"),
            UnusablePolicy(why) => format!("Postfix cannot use this policy, so it sends nothing: {why}"),
            Attribute(name) => format!("the attribute {name} has no meaning here"),
            Nowhere(transport) => format!("no mail is sent by transport {transport}, and none is sent here"),
            Mailboxes(how) => format!("Postfix delivers to the mailboxes by {how}; a relay hands on by SMTP"),
            AnyRecipient(why) => format!("every recipient is taken, because {why}"),
            SelfSigned(why) => format!("a self-signed certificate stands in for the one of Postfix: {why}"),
            SourceOnRoutesOnly(name) => format!("{name} is carried over for routes, not for mail that goes by MX"),
            OutOfBounds(text) => text.clone(),
            other => other.fixed_text().0.to_owned(),
        }
    }

    pub(super) fn remedy(&self) -> String {
        use Difference::*;
        match self {
            ExcludedCiphersKept(_) => {
                "write cipher = \"aead\", which leaves out all CBC modes, if that is what was meant"
            }
            RootsMissing(_) => "copy the file, and write ca in place of match = [\"held.invalid\"]",
            WeakFingerprint(_) => {
                "read the certificate with `gatepost probe`, compare it, and write its sha256 in place of \
                 match = [\"held.invalid\"]"
            }
            UnusablePolicy(_) => "mend the entry, and import again",
            Attribute(_) => "nothing",
            Nowhere(_) => "remove the file of the domain if its mail may go by its MX records",
            Mailboxes(_) => {
                "let the mailbox server listen for SMTP, on another port if it is on this host, and name it in \
                 [route] hosts; or import again with --mailboxes HOST:PORT"
            }
            AnyRecipient(_) => "write a list, and recipients = { file = \"...\" }",
            SelfSigned(_) => "put the chain and the key in place of the files in tls/",
            SourceOnRoutesOnly(_) => "nothing, unless the address or the name matters to others",
            OutOfBounds(_) => "read the key in gatepost.toml",
            other => other.fixed_text().1,
        }
        .to_owned()
    }

    /// Of those that carry nothing: why it differs, and what to do.
    fn fixed_text(&self) -> (&'static str, &'static str) {
        let of_tls = self.of_tls_out().or_else(|| self.of_identity()).or_else(|| self.of_tls_in());
        of_tls.unwrap_or_else(|| self.of_routing())
    }

    fn of_tls_out(&self) -> Option<(&'static str, &'static str)> {
        use Difference::*;
        Some(match self {
            PublishedIsFollowed => (
                "Gatepost also follows TLSA records (DANE) and MTA-STS policies that destinations publish",
                "write dane = \"off\" and mta_sts = \"off\" where that is not wanted",
            ),
            OptionalProtocols => (
                "at this level Postfix sends in plaintext rather than over a version that is left out; Gatepost \
                 takes the strongest version that the host has, and plaintext last",
                "write min_version where TLS of that version may be required",
            ),
            OptionalCiphers => (
                "at this level Postfix sends in plaintext rather than with a cipher that is left out; Gatepost \
                 takes the strongest cipher that the host has, and plaintext last",
                "write cipher where TLS of that strength may be required",
            ),
            ProtocolsCapped => ("a highest version is not carried over: later versions are used too", "nothing"),
            ProtocolsGap => (
                "a version in the middle is left out, so that OpenSSL does only those below it; here those above it \
                 are used too",
                "write min_version as it was meant, such as \"TLSv1.2\"",
            ),
            HighCiphers => (
                "ciphers = high becomes cipher = \"strong\": 128 bits or more, no RC4, no 3DES; it takes SEED and \
                 IDEA, which high leaves out and hardly any server has",
                "write cipher = \"forward-secret\" or \"aead\" to ask for more",
            ),
            CipherListAsGrade => (
                "the grade of ciphers has a list of its own (tls_*_cipherlist); asked for is the grade of its \
                 weakest suite",
                "nothing",
            ),
            CipherList => (
                "the grade of ciphers has a list of its own (tls_*_cipherlist) which is not read; what is asked for is \
                 that of the usual list",
                "write cipher as the list means it: \"forward-secret\" or \"aead\"",
            ),
            ExcludedCiphersAsGrade => (
                "excluded ciphers become the lowest grade that has none of them, which leaves out some more",
                "nothing, unless a partner has nothing better: then write cipher = \"any\" there",
            ),
            NullCiphers => ("ciphers without encryption are never used", "nothing"),
            _ => return None,
        })
    }

    fn of_identity(&self) -> Option<(&'static str, &'static str)> {
        use Difference::*;
        Some(match self {
            UnsignedMx => (
                "Postfix believes the name of a host that unsigned DNS tells; with match = [\"mx\"] Gatepost \
                 believes it only where DNSSEC or MTA-STS secures it, and mail for others waits",
                "write match with the names of the mail hosts, or tls = \"encrypt\" where that is enough",
            ),
            OneLabelBelow => (
                "\"*.name\" stands for one label below the name, where .name of Postfix stands for any number",
                "add a pattern for each deeper level that is meant",
            ),
            NothingBelow => (
                "dot-nexthop cannot be written for many domains or hosts at once, so certificates for names below \
                 the next hop do not count",
                "give such a domain a file of its own with match = [\"domain\", \"*.its.name\"]",
            ),
            NoRoots => (
                "Postfix is told of no root certificates there, so that nothing verifies; Gatepost takes those of \
                 the system",
                "write ca with the roots that may vouch",
            ),
            AlsoSystemRoots => (
                "roots of one's own stand beside those of the system; here only those that are named vouch",
                "add the system's bundle to ca where public certificates are expected",
            ),
            NoNameToMatch => (
                "no name is left that a certificate could be for (the next hop is an address)",
                "name the host, or write match or fingerprints in place of \"held.invalid\"",
            ),
            Servername => ("the host is asked for by its own name (SNI), not by another one", "nothing"),
            DaneWithoutDnssec => (
                "without smtp_dns_support_level = dnssec Postfix uses no DANE; Gatepost does where DNS is signed",
                "write dane = \"off\" where that is not wanted",
            ),
            DaneMinimum => (
                "where TLSA records are found Postfix asks for the mandatory versions and ciphers too; here a \
                 minimum would forbid plaintext to those without records, so none is written",
                "write min_version for domains that are known to have DANE",
            ),
            DnssecHere => (
                "Postfix trusts the AD bit of its resolver; dnssec = \"validate\" checks signatures here",
                "write dnssec = \"trust-ad\" if a validating resolver runs on this host",
            ),
            WrapperMode => (
                "the next hop wants TLS from the first byte (port 465), which Gatepost does not speak to next hops",
                "take a port with STARTTLS, such as 587 or 25",
            ),
            PerSiteHosts => (
                "smtp_tls_per_site is looked up by mail host too, which is not carried over",
                "write a domain file for each domain that is meant",
            ),
            UnequalHops => (
                "the next hops of one transport have policies that differ; the mail waits",
                "write one policy for all of them in [route]",
            ),
            PolicyUnused => (
                "nothing looks this entry up: mail for it goes by another next hop, whose policy counts",
                "remove the entry, or the route that goes before it",
            ),
            _ => return None,
        })
    }

    fn of_tls_in(&self) -> Option<(&'static str, &'static str)> {
        use Difference::*;
        Some(match self {
            InboundLevels => (
                "listeners for strangers have different levels; [default.inbound] asks for the lowest of them",
                "write tls = \"required\" there, or in the domain files that need it",
            ),
            InboundProtocolsCapped => ("a highest version is not carried over: later ones are offered too", "nothing"),
            InboundOptionalCiphers => (
                "at this level ciphers that are left out drive senders into plaintext; they are offered here, weakest \
                 last",
                "write cipher under [inbound] where a weak cipher is to be refused",
            ),
            PostmasterExempt => (
                "mail for postmaster of hosted domains is taken without TLS, so that senders can ask for help",
                "nothing",
            ),
            ClientRoots => (
                "a verified client certificate is asked for in all mail that comes in",
                "see client_certificate under [default.inbound]",
            ),
            _ => return None,
        })
    }

    fn of_routing(&self) -> (&'static str, &'static str) {
        use Difference::*;
        match self {
            MxOfNextHop => (
                "the next hop is a domain, and Postfix asks for its MX records; a route here connects to the very \
                 name",
                "see its mail hosts with `gatepost probe`, and name them in hosts",
            ),
            MxBesideDefaultRoute => (
                "mail for all names below goes by their own MX records beside a relay host, which cannot be written \
                 for names that are not known; it takes the default route",
                "write a domain file with a [route] for each name that is meant",
            ),
            SubdomainsNotRelayed => (
                "by default this Postfix relays for all names below those of mydestination; they are not hosted here",
                "host those that are meant in a domain file",
            ),
            LocalhostLeftOut => ("names such as localhost have no mail from elsewhere, and no file", "nothing"),
            ListenerAddresses => {
                ("inet_interfaces has names; the listeners take all addresses", "write the addresses into bind")
            }
            Retry => (
                "Postfix waits as long as the message is old, between its two bounds; here the times are a list",
                "see retry under [spool]",
            ),
            DelayNotice => (
                "Postfix sends no notices of delay; here our own senders get one after four hours",
                "write delay_warning = \"366d\" under [spool] if that is not wanted",
            ),
            SizeUnlimited => ("messages of any size are taken by Postfix; here a bound is needed", "see [spool]"),
            NetworkInterfaces => (
                "mynetworks is not written, so that Postfix trusts the machine itself, or its networks; here \
                 only loopback is trusted",
                "name your networks in [relay] trusted",
            ),
            RelayClosed => (
                "the restrictions do not permit mynetworks to relay, or not plainly; trusted clients may not either",
                "write relay = true in the listener",
            ),
            _ => ("it differs", "read the file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_has_words_of_its_own() {
        use Difference::*;
        let all = [
            PublishedIsFollowed,
            OptionalProtocols,
            OptionalCiphers,
            ProtocolsCapped,
            ProtocolsGap,
            HighCiphers,
            CipherListAsGrade,
            CipherList,
            ExcludedCiphersAsGrade,
            NullCiphers,
            UnsignedMx,
            OneLabelBelow,
            NothingBelow,
            NoRoots,
            AlsoSystemRoots,
            NoNameToMatch,
            Servername,
            DaneWithoutDnssec,
            DaneMinimum,
            DnssecHere,
            MxOfNextHop,
            UnequalHops,
            WrapperMode,
            PerSiteHosts,
            PolicyUnused,
            MxBesideDefaultRoute,
            SubdomainsNotRelayed,
            LocalhostLeftOut,
            ListenerAddresses,
            InboundLevels,
            InboundProtocolsCapped,
            InboundOptionalCiphers,
            PostmasterExempt,
            ClientRoots,
            Retry,
            DelayNotice,
            SizeUnlimited,
            NetworkInterfaces,
            RelayClosed,
        ];
        let mut texts: Vec<String> = all.iter().map(Difference::because).collect();
        assert!(!texts.iter().any(|text| text == "it differs"), "{texts:?}");
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), all.len());
    }
}
