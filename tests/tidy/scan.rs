//! Reads masked code by tokens: its functions, the paths that it uses, and the parts that are tests.

/// A word, `::`, or another character, with its line from 1.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub line: usize,
    /// From the line of `fn` to that of its closing brace.
    pub lines: usize,
}

/// A path of two segments or more, or a shorter one behind `use`. The groups of `use` are spread.
#[derive(Debug, PartialEq, Eq)]
pub struct CodePath {
    pub line: usize,
    pub segments: Vec<String>,
}

/// An item under `#[cfg(test)]`.
#[derive(Debug, PartialEq, Eq)]
pub struct TestItem {
    pub first_line: usize,
    pub last_line: usize,
    /// The name of a module whose body is in another file.
    pub module_elsewhere: Option<String>,
}

pub fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            let len = match word {
                0 if rest.starts_with("::") => 2,
                0 => rest.chars().next().map_or(1, char::len_utf8),
                word => word,
            };
            let (text, after) = rest.split_at(len);
            tokens.push(Token { text, line: index + 1 });
            rest = after.trim_start();
        }
    }
    tokens
}

pub fn functions(tokens: &[Token<'_>]) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let [keyword, name] = pair else { continue };
        if keyword.text != "fn" || !is_identifier(name.text) {
            continue;
        }
        let last = item_end(tokens, at);
        if text(tokens, last) == "}" {
            let lines = tokens[last].line - keyword.line + 1;
            found.push(Function { name: name.text.into(), line: keyword.line, lines });
        }
    }
    found
}

pub fn paths(tokens: &[Token<'_>]) -> Vec<CodePath> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let used = at > 0 && matches!(text(tokens, at - 1), "use");
        if !is_identifier(tokens[at].text) || continues(tokens, at) {
            at += 1;
            continue;
        }
        let mut tree = Vec::new();
        at = path_tree(tokens, at, &[], &mut tree);
        found.extend(tree.into_iter().filter(|path| used || path.segments.len() > 1));
    }
    found
}

pub fn test_items(tokens: &[Token<'_>]) -> Vec<TestItem> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut found = Vec::new();
    for (at, window) in tokens.windows(MARK.len()).enumerate() {
        if !window.iter().map(|token| token.text).eq(MARK) {
            continue;
        }
        let item = after_attributes(tokens, at);
        let last = item_end(tokens, item);
        let is_elsewhere = text(tokens, item) == "mod" && text(tokens, item + 2) == ";";
        found.push(TestItem {
            first_line: tokens[at].line,
            last_line: tokens.get(last).map_or(usize::MAX, |token| token.line),
            module_elsewhere: is_elsewhere.then(|| text(tokens, item + 1).to_owned()),
        });
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

pub fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn text<'a>(tokens: &[Token<'a>], at: usize) -> &'a str {
    tokens.get(at).map_or("", |token| token.text)
}

/// Whether the word goes on what stands before it: a field, a method, or a later segment of a path.
fn continues(tokens: &[Token<'_>], at: usize) -> bool {
    match at.checked_sub(1).map(|before| text(tokens, before)) {
        Some("." | "'") => true,
        Some("::") => at >= 2 && (is_identifier(text(tokens, at - 2)) || text(tokens, at - 2) == ">"),
        _ => false,
    }
}

/// Collects the paths that start here and gives the index behind them.
fn path_tree(tokens: &[Token<'_>], start: usize, prefix: &[String], found: &mut Vec<CodePath>) -> usize {
    let mut segments = prefix.to_vec();
    let (mut at, line) = (start, tokens[start].line);
    loop {
        segments.push(text(tokens, at).into());
        at += 1;
        if text(tokens, at) != "::" {
            break;
        }
        match text(tokens, at + 1) {
            "{" => return group(tokens, at + 2, &segments, found),
            next if is_identifier(next) || next == "*" => at += 1,
            _ => break,
        }
    }
    found.push(CodePath { line, segments });
    at
}

fn group(tokens: &[Token<'_>], start: usize, prefix: &[String], found: &mut Vec<CodePath>) -> usize {
    let mut at = start;
    while at < tokens.len() {
        at = match text(tokens, at) {
            "}" => return at + 1,
            "as" => at + 2,
            word if is_identifier(word) || word == "*" => path_tree(tokens, at, prefix, found),
            _ => at + 1,
        };
    }
    at
}

/// The first token of the item behind the attributes and the visibility that start here.
fn after_attributes(tokens: &[Token<'_>], start: usize) -> usize {
    let mut at = start;
    while text(tokens, at) == "#" {
        at = matching(tokens, at + 1) + 1;
    }
    if text(tokens, at) == "pub" {
        at += 1;
        if text(tokens, at) == "(" {
            at = matching(tokens, at) + 1;
        }
    }
    at
}

/// The token that ends the item: a semicolon, or the brace that closes its body.
fn item_end(tokens: &[Token<'_>], start: usize) -> usize {
    let mut at = start;
    while at < tokens.len() {
        match tokens[at].text {
            "{" => return matching(tokens, at),
            ";" => return at,
            "(" | "[" => at = matching(tokens, at) + 1,
            _ => at += 1,
        }
    }
    at
}

/// The bracket that closes the one that stands here.
fn matching(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

#[test]
fn functions_are_measured_from_their_keyword_to_their_brace() {
    let code =
        "trait T { fn none(&self) -> [u8; 4]; }\nfn one() {}\nfn three<F: Fn(u8)>(f: fn(u8)) ->\n[u8; 2] {\n{ } }\n";
    let found = functions(&tokens(code));
    let seen: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
    assert_eq!(seen, [("one", 2, 1), ("three", 3, 3)]);
}

#[test]
fn paths_are_found_in_code_and_spread_from_groups() {
    for (code, expected) in [
        ("use std::fs;", vec!["std::fs"]),
        ("use tokio;", vec!["tokio"]),
        ("use std::{io::{self, Read as _}, time::*};", vec!["std::io::self", "std::io::Read", "std::time::*"]),
        ("let x = crate::a::B::<u8>::new(y.z::<u8>());", vec!["crate::a::B"]),
        ("::std::fs::read(self.tokio)", vec!["std::fs::read"]),
        ("<T as super::a::X>::b::c()", vec!["super::a::X"]),
        ("pub(in crate::a) fn f()", vec!["crate::a"]),
        ("tracing::info!()", vec!["tracing::info"]),
    ] {
        let found: Vec<_> = paths(&tokens(code)).iter().map(|path| path.segments.join("::")).collect();
        assert_eq!(found, expected, "{code}");
    }
}

#[test]
fn test_items_are_found_with_their_extent() {
    let inline = "fn a() {}\n#[cfg(test)]\nmod b {\n  mod c { }\n}\n";
    let elsewhere = "#[cfg(test)]\n#[path = x]\npub(crate) mod d;\n#[cfg(not(test))]\nmod e;\n";
    let code = format!("{inline}{elsewhere}");
    let found: Vec<_> = test_items(&tokens(&code))
        .into_iter()
        .map(|item| (item.first_line, item.last_line, item.module_elsewhere))
        .collect();
    assert_eq!(found, [(2, 5, None), (6, 8, Some("d".into()))]);
}
