//! Who may read, and what a browser may do with what it reads.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::model::domain::Domain;

use super::Site;

/// Nothing is asked of anybody else, nothing is run but our own file, nobody frames a page.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                              connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Lets through who asks by a name of ours, and binds the browser.
pub(super) async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let hostname = (site.config)().hostname.clone();
    let mut response = if is_ours(request.headers(), &hostname) {
        next.run(request).await
    } else {
        let text = format!("This is not a name of the dashboard. Ask for it by an address or as {hostname}.\n");
        (StatusCode::MISDIRECTED_REQUEST, text).into_response()
    };
    let headers = response.headers_mut();
    headers.extend(HEADERS);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A page of somebody else whose name was made to point here has that name as `Host`, never an address.
fn is_ours(headers: &HeaderMap, hostname: &Domain) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    literal.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || Domain::parse(name).is_ok_and(|name| name == *hostname)
}

/// Whether no page of another site has made it. Programs do not name an origin; browsers always do with a POST.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    origin.zip(host).is_some_and(|((_, place), host)| place.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_names_of_ours_are_answered() {
        let hostname = Domain::parse("mx1.example.org").unwrap();
        for (host, expected) in [
            ("127.0.0.1:8025", true),
            ("[::1]:8025", true),
            ("192.0.2.1", true),
            ("localhost:8025", true),
            ("LOCALHOST", true),
            ("mx1.example.org:8025", true),
            ("MX1.Example.Org", true),
            ("evil.example", false),
            ("evil.example:8025", false),
            ("mx1.example.org.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example:80", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            assert_eq!(is_ours(&headers, &hostname), expected, "{host}");
        }
        assert!(!is_ours(&HeaderMap::new(), &hostname));
    }

    #[test]
    fn a_page_of_another_site_is_told_by_its_origin() {
        for (origin, expected) in [
            (None, true),
            (Some("http://127.0.0.1:8025"), true),
            (Some("http://127.0.0.1"), false),
            (Some("http://127.0.0.1:8026"), false),
            (Some("https://evil.example"), false),
            (Some("https://127.0.0.1:8025.evil.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("127.0.0.1:8025"))]);
            headers.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
            assert_eq!(is_same_origin(&headers), expected, "{origin:?}");
        }
    }
}
