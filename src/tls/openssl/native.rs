//! The few calls that the safe bindings of OpenSSL lack. The only unsafe code of this crate.

#![expect(unsafe_code, reason = "calls of OpenSSL without a safe binding; each says why it is sound")]

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::ssl::{SslContextBuilder, SslRef, SslSessionRef};
use openssl::x509::X509Ref;
use openssl_sys as ffi;

use crate::model::tls::SignatureHash;

/// `SSL_CTRL_GET_PEER_SIGNATURE_NID` of `ssl.h`.
const GET_PEER_SIGNATURE_NID: c_int = 108;

/// `SSL_CTRL_CHAIN_CERT` of `ssl.h`; with this argument the context takes a reference of its own.
const CHAIN_CERT: c_int = 89;
const WITH_OWN_REFERENCE: c_long = 1;

/// `SSL_CTRL_SET_MAX_CERT_LIST` of `ssl.h`.
const SET_MAX_CERT_LIST: c_int = 51;

unsafe extern "C" {
    /// OpenSSL 3.2 and later, `ssl.h`.
    fn SSL_get0_group_name(ssl: *mut ffi::SSL) -> *const c_char;

    /// `ssl.h`; the answer of the callback stands for the whole verification of a chain.
    fn SSL_CTX_set_cert_verify_callback(
        context: *mut ffi::SSL_CTX,
        callback: Option<extern "C" fn(*mut ffi::X509_STORE_CTX, *mut c_void) -> c_int>,
        argument: *mut c_void,
    );
}

extern "C" fn leave_to_later(_: *mut ffi::X509_STORE_CTX, _: *mut c_void) -> c_int {
    1
}

/// Takes every chain without looking into it: it is judged after the handshake, by other code. OpenSSL's own look costs
/// what a chain of huge keys wants it to cost, and leaves errors behind that break other sessions of the thread. That
/// the peer holds the key of its certificate is proved all the same.
pub(in crate::tls) fn judge_chains_later(builder: &mut SslContextBuilder, chain_bytes_max: c_long) {
    // SAFETY: the context is alive, the callback is a function of this program and uses neither of its arguments.
    unsafe {
        SSL_CTX_set_cert_verify_callback(builder.as_ptr(), Some(leave_to_later), ptr::null_mut());
        ffi::SSL_CTX_ctrl(builder.as_ptr(), SET_MAX_CERT_LIST, chain_bytes_max, ptr::null_mut());
    }
}

/// The group of the key exchange in lower case, `None` where there was none.
pub(super) fn group(ssl: &SslRef) -> Option<String> {
    // SAFETY: the session is alive for the call; the answer is null or a constant text of the library.
    let name = unsafe {
        let name = SSL_get0_group_name(ssl.as_ptr());
        (!name.is_null()).then(|| CStr::from_ptr(name))
    };
    name.and_then(|name| name.to_str().ok()).map(str::to_ascii_lowercase)
}

/// The hash by which the peer signed in this handshake; `None` if it signed nothing.
pub(in crate::tls) fn peer_signature(ssl: &SslRef) -> Option<SignatureHash> {
    let mut nid: c_int = 0;
    // SAFETY: the call writes one int through the pointer, which lives as long as the call.
    let known = unsafe { ffi::SSL_ctrl(ssl.as_ptr(), GET_PEER_SIGNATURE_NID, 0, ptr::from_mut(&mut nid).cast()) };
    let hash = Nid::from_raw(nid);
    match (known, hash) {
        (1, Nid::MD5 | Nid::SHA1 | Nid::MD5_SHA1) => Some(SignatureHash::Sha1OrOlder),
        // EdDSA tells no hash of its own; it is SHA-512 or SHAKE256 inside.
        (1, _) => Some(SignatureHash::Sha2),
        _ => None,
    }
}

/// Offers a session of an earlier connection.
pub(in crate::tls) fn resume(ssl: &mut SslRef, session: &SslSessionRef) -> Result<(), ErrorStack> {
    // SAFETY: `set_session` asks that the session be of the same context; sessions are kept by context in
    // `crate::tls::client`.
    unsafe { ssl.set_session(session) }
}

/// Adds an issuer behind the certificate that was set last, and behind no other of the context.
pub(in crate::tls) fn add_issuer(builder: &mut SslContextBuilder, issuer: &X509Ref) -> Result<(), ErrorStack> {
    // SAFETY: both live for the call, and the context counts a reference of its own to the certificate.
    let added = unsafe { ffi::SSL_CTX_ctrl(builder.as_ptr(), CHAIN_CERT, WITH_OWN_REFERENCE, issuer.as_ptr().cast()) };
    if added == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}
