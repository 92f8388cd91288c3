//! A story as one HTML file: a waterfall to click through, for a browser, a ticket, an incident's report.
//!
//! The file needs nothing else: its style and its script are in it, and its own policy forbids it to fetch anything or to run
//! any other script (Content Security Policy, by hash). What the data holds is data: a JSON text in which no tag can begin,
//! shown as text only. It shows a trace of any size: at most [`MOST_NODES`] spans, those nearest to the beginning, and at most
//! about [`MOST_BYTES`] of them in all, and says what it leaves out. Without scripts, a small one shows the text.

use crate::escape::visible;
use crate::story::{Runs, Story};
use crate::text::{self, Look};

/// What the script shows.
mod data;

pub use data::{MOST_BYTES, MOST_NODES};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");
const BODY: &str = include_str!("html/body.html");
/// Of the two, as the policy wants them: SHA-256 in base64. A test says what they must be.
const STYLE_HASH: &str = "qCY2SxDWliCcDrpdX2XN+8uTyQ+2grhN7RcxHIi+L9o=";
const SCRIPT_HASH: &str = "C9d6O6w7EQUFRkPdp8cMkW/jEleQRPvuU4XjlHa6ixs=";

/// More spans than this are not told in text as well.
const MOST_IN_TEXT: usize = 1000;
const TEXT_WIDTH: usize = 120;

/// `story` and those that it goes on in or goes on from, as a whole HTML file.
pub fn render(story: &Story, runs: &Runs) -> String {
    let asked = story.root().map(text::asked).unwrap_or_default();
    let asked: Vec<String> = asked.into_iter().map(|piece| piece.text).collect();
    let title = format!("{} · trace {}", asked.join(" "), story.trace);
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{STYLE_HASH}'; script-src 'sha256-{SCRIPT_HASH}'; base-uri 'none'; \
         form-action 'none'"
    );
    let mut page = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str(&format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n"));
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
    page.push_str("<meta name=\"generator\" content=\"throughline trace --html\">\n");
    page.push_str(&format!(
        "<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        escaped(title.trim())
    ));
    page.push_str(BODY);
    page.push_str(&format!("<noscript>{}</noscript>\n", without_scripts(story, runs)));
    page.push_str("<script type=\"application/json\" id=\"data\">");
    // No tag and no comment can begin or end in it: JSON has another spelling for the one letter that each begins with.
    page.push_str(&data::render(story, runs).replace('<', "\\u003c"));
    page.push_str(&format!("</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"));
    page
}

fn without_scripts(story: &Story, runs: &Runs) -> String {
    let spans: usize = std::iter::once(story).chain(&runs.stories).map(|story| story.nodes.len()).sum();
    match spans {
        0..=MOST_IN_TEXT => {
            let look = Look { width: TEXT_WIDTH, is_coloured: false, ..Look::default() };
            format!("<pre>{}</pre>", escaped(&text::render_all(story, runs, look)))
        }
        _ => format!(
            "<p>This page shows {spans} spans by a script, which is not run here: <code>throughline trace {}</code> tells them in text.</p>",
            story.trace
        ),
    }
}

/// `text` with its letters that mean something to HTML spelt out.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

/// `text` with its lines, each harmless to read, cut where it is longer than `most` letters.
fn shown(text: &str, most: usize) -> String {
    let (text, end) = match text.char_indices().nth(most) {
        Some((at, _)) => (&text[..at], "…"),
        None => (text, ""),
    };
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n") + end
}
