//! The frame of a page: head, and where its style stands.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// What a page that is one file may load: nothing, whatever stands in it.
const NOTHING_LOADED: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The style of every page.
pub const STYLE: &str = include_str!("style.css");

/// A page that asks for its style at a path.
pub fn linked(title: &str, (style, script): (&str, &str), body: &Markup) -> Markup {
    let head = html! {
        link rel="stylesheet" href=(style);
        link rel="icon" href="/static/icon.svg" type="image/svg+xml";
        script src=(script) defer {}
    };
    whole(title, &head, body)
}

/// A page that is one file: it asks for nothing.
pub fn self_contained(title: &str, body: &Markup) -> Markup {
    let head = html! {
        meta http-equiv="Content-Security-Policy" content=(NOTHING_LOADED);
        style { (PreEscaped(STYLE)) }
    };
    whole(title, &head, body)
}

fn whole(title: &str, head: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                (head)
            }
            body { (body) }
        }
    }
}
