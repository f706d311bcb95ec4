//! Hellos built field by field, whole or broken.

/// The fields of a hello; a new one has nothing at which either stack would take offence.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) version: u16,
    pub(super) session: Vec<u8>,
    pub(super) suites: Vec<u8>,
    pub(super) compression: Vec<u8>,
    /// `None` for no block at all.
    pub(super) extensions: Option<Vec<(u16, Vec<u8>)>>,
    /// Behind everything.
    pub(super) trailer: Vec<u8>,
}

pub(super) const TLS13_SUITE: u16 = 0x1301;
pub(super) const ECDHE_ECDSA: u16 = 0xc02b;
pub(super) const ECDHE_RSA: u16 = 0xc02f;
const RSA_CBC: u16 = 0x002f;
pub(super) const X25519: u16 = 29;
pub(super) const P256: u16 = 23;

impl Form {
    /// TLS 1.2 and no more.
    pub(super) fn tls12() -> Self {
        let extensions = vec![
            (10, v16(&u16s(&[X25519, P256]))),
            (11, v8(&[0])),
            (13, v16(&u16s(&[0x0403, 0x0804, 0x0401]))),
            (23, vec![]),
        ];
        Self {
            version: 0x0303,
            session: vec![],
            suites: u16s(&[ECDHE_ECDSA, ECDHE_RSA, RSA_CBC]),
            compression: vec![0],
            extensions: Some(extensions),
            trailer: vec![],
        }
    }

    /// TLS 1.3 and 1.2.
    pub(super) fn tls13() -> Self {
        let form = Self { suites: u16s(&[TLS13_SUITE, ECDHE_ECDSA, ECDHE_RSA]), ..Self::tls12() };
        form.with(43, v8(&u16s(&[0x0304, 0x0303]))).with(51, v16(&share(X25519)))
    }

    /// SSL 3.0 or TLS 1.0 and 1.1, without extensions.
    pub(super) fn bare(version: u16) -> Self {
        Self { version, suites: u16s(&[RSA_CBC]), extensions: None, ..Self::tls12() }
    }

    /// With this content instead of what the extension had, or with the extension at the end.
    pub(super) fn with(mut self, number: u16, content: impl Into<Vec<u8>>) -> Self {
        let extensions = self.extensions.get_or_insert_default();
        match extensions.iter_mut().find(|(known, _)| *known == number) {
            Some((_, old)) => *old = content.into(),
            None => extensions.push((number, content.into())),
        }
        self
    }

    /// With the extension at the end, even if it is there already.
    pub(super) fn adding(mut self, number: u16, content: impl Into<Vec<u8>>) -> Self {
        self.extensions.get_or_insert_default().push((number, content.into()));
        self
    }

    pub(super) fn without(mut self, number: u16) -> Self {
        self.extensions.get_or_insert_default().retain(|(known, _)| *known != number);
        self
    }

    /// With an extension that nobody knows, to make the body this long.
    pub(super) fn padded_to(self, length: usize) -> Self {
        let padding = length - self.clone().adding(0x1234, []).body().len();
        self.adding(0x1234, vec![0; padding])
    }

    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend((0..32).map(|i| 0xa0 + i));
        body.extend(v8(&self.session));
        body.extend(v16(&self.suites));
        body.extend(v8(&self.compression));
        if let Some(extensions) = &self.extensions {
            let each = extensions.iter().flat_map(|(number, content)| [u16s(&[*number]), v16(content)].concat());
            body.extend(v16(&each.collect::<Vec<_>>()));
        }
        body.extend(&self.trailer);
        body
    }

    pub(super) fn message(&self) -> Vec<u8> {
        message(1, &self.body())
    }

    /// In records as long as they may be.
    pub(super) fn wire(&self) -> Vec<u8> {
        records(&self.message(), 16_384)
    }
}

pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], body].concat()
}

/// The content in records of this length.
pub(super) fn records(content: &[u8], length: usize) -> Vec<u8> {
    content.chunks(length).flat_map(|chunk| [&[22, 3, 1], v16(chunk).as_slice()].concat()).collect()
}

pub(super) fn v8(content: &[u8]) -> Vec<u8> {
    [&[u8::try_from(content.len()).unwrap()], content].concat()
}

pub(super) fn v16(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
}

pub(super) fn u16s(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// A key share of 32 bytes.
pub(super) fn share(group: u16) -> Vec<u8> {
    [u16s(&[group]), v16(&[9; 32])].concat()
}

/// The content of a server_name extension.
pub(super) fn names(names: &[(u8, &[u8])]) -> Vec<u8> {
    v16(&names.iter().flat_map(|(kind, name)| [&[*kind], v16(name).as_slice()].concat()).collect::<Vec<_>>())
}

pub(super) fn host(name: &[u8]) -> Vec<u8> {
    names(&[(0, name)])
}

/// The content of a pre_shared_key extension with so many identities and binders.
pub(super) fn keys(identities: usize, binders: usize) -> Vec<u8> {
    let identity = [v16(b"ticket"), vec![0, 0, 0, 1]].concat();
    [v16(&identity.repeat(identities)), v16(&v8(&[7; 32]).repeat(binders))].concat()
}
