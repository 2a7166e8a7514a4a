//! Pages: a frame around parts. A part has a hash of what it says, so that who has it need not be sent it again.
//!
//! Ages (`<time>`) do not count for the hash: the reader's browser counts them on by itself.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::app::App;
use crate::assets::VERSION;
use crate::error::Trouble;

/// A page before it is put into its frame.
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) section: Section,
    pub(crate) parts: Vec<Part>,
}

/// The pages that the frame leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Now,
    Runs,
    Cost,
    Stalls,
    Workflows,
    Api,
    Nowhere,
}

const SECTIONS: [(Section, &str, &str, &str); 6] = [
    (Section::Now, "/", "Now", "n"),
    (Section::Runs, "/runs", "Runs", "r"),
    (Section::Cost, "/cost", "Cost", "c"),
    (Section::Stalls, "/stalls", "Stalls & targets", "s"),
    (Section::Workflows, "/workflows", "Workflows", "w"),
    (Section::Api, "/api", "API", "a"),
];

/// A part of a page that changes on its own.
pub(crate) struct Part {
    id: &'static str,
    class: &'static str,
    hash: u64,
    body: Body,
}

enum Body {
    Whole(String),
    /// Of which each item changes on its own.
    List(Vec<Item>),
}

/// An item of a list.
pub(crate) struct Item {
    id: String,
    hash: u64,
    html: String,
}

impl Item {
    /// An item; `id` is unique on the page.
    pub(crate) fn new(id: String, inner: &Markup) -> Self {
        Self { hash: hash(&inner.0), id, html: inner.0.clone() }
    }

    fn outer(&self) -> Markup {
        html! { div id=(self.id) data-hash=(hex(self.hash)) { (PreEscaped(&self.html)) } }
    }
}

impl Part {
    /// A part that changes as a whole.
    pub(crate) fn new(id: &'static str, class: &'static str, inner: Markup) -> Self {
        Self { id, class, hash: hash(&inner.0), body: Body::Whole(inner.0) }
    }

    /// A part whose items change each on its own.
    pub(crate) fn list(id: &'static str, class: &'static str, items: Vec<Item>) -> Self {
        let hash = items.iter().fold(0u64, |all, item| {
            xxh3_64(
                &[all.to_le_bytes(), item.hash.to_le_bytes(), xxh3_64(item.id.as_bytes()).to_le_bytes()]
                    .concat(),
            )
        });
        Self { id, class, hash, body: Body::List(items) }
    }

    fn outer(&self) -> Markup {
        html! {
            div id=(self.id) class=(self.class) data-part data-hash=(hex(self.hash)) {
                @match &self.body {
                    Body::Whole(inner) => (PreEscaped(inner)),
                    Body::List(items) => @for item in items { (item.outer()) },
                }
            }
        }
    }
}

impl Page {
    /// The whole document.
    pub(crate) fn document(&self, app: &App, frame: &Frame) -> String {
        let main = html! {
            @if let Some(note) = &frame.note { p.note role="status" { (note) } }
            @for part in &self.parts { (part.outer()) }
        };
        document(&self.title, self.section, Some(app), frame, &main)
    }

    /// A hash of everything that it says.
    pub(crate) fn hash(&self) -> String {
        let all: Vec<u8> = self.parts.iter().flat_map(|part| part.hash.to_le_bytes()).collect();
        hex(xxh3_64(&all))
    }

    /// What is new for somebody who has `before`; everything if that is nothing. Empty if nothing is.
    pub(crate) fn changes(&self, before: Option<&Page>) -> Vec<Value> {
        let old = |id: &str| before.and_then(|page| page.parts.iter().find(|part| part.id == id));
        let changed = self.parts.iter().filter(|part| old(part.id).is_none_or(|old| old.hash != part.hash));
        changed.map(|part| part.change(old(part.id))).collect()
    }
}

impl Part {
    fn change(&self, before: Option<&Part>) -> Value {
        let hash = hex(self.hash);
        match &self.body {
            Body::Whole(html) => json!({ "id": self.id, "hash": hash, "html": html }),
            Body::List(items) => {
                let known = |item: &Item| match before.map(|part| &part.body) {
                    Some(Body::List(old)) => old.iter().any(|old| old.id == item.id && old.hash == item.hash),
                    _ => false,
                };
                let new = items.iter().filter(|item| !known(item));
                let new: serde_json::Map<String, Value> = new
                    .map(|item| (item.id.clone(), json!({ "hash": hex(item.hash), "html": item.html })))
                    .collect();
                let order: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
                json!({ "id": self.id, "hash": hash, "order": order, "items": new })
            }
        }
    }
}

/// What a frame is told beside its page.
#[derive(Default)]
pub(crate) struct Frame {
    /// Who is logged in.
    pub(crate) who: Option<String>,
    /// What to give with a form, so that it is known to be ours.
    pub(crate) csrf: String,
    /// What came of the last action.
    pub(crate) note: Option<String>,
    /// The page's address for live changes; none if it has none.
    pub(crate) live: Option<String>,
}

/// A document around something.
pub(crate) fn document(
    title: &str,
    section: Section,
    app: Option<&App>,
    frame: &Frame,
    main: &Markup,
) -> String {
    let asset = |name: &str| format!("/assets/{name}?v={}", *VERSION);
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · midwatch" }
                link rel="icon" href=(asset("icon.svg"));
                link rel="stylesheet" href=(asset("console.css"));
                script src=(asset("console.js")) defer {}
            }
            body data-live=[frame.live.as_deref()] {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/" { span.moon aria-hidden="true" { "☾" } "midwatch" }
                    nav aria-label="Pages" {
                        @for (at, href, name, key) in SECTIONS {
                            a href=(href) data-key=(key) aria-current=[(at == section).then_some("page")] { (name) }
                        }
                    }
                    @if let Some(app) = app { (corner(app, frame)) }
                }
                main id="main" tabindex="-1" { (main) }
                footer.foot {
                    span { "Times are of your zone, ages count on. Costs are what providers were owed, as far as known." }
                    span.keys { kbd { "?" } " keys" }
                }
                dialog id="help" aria-label="Keys" { (keys()) }
            }
        }
    };
    html.into_string()
}

fn corner(app: &App, frame: &Frame) -> Markup {
    html! {
        form.find action="/runs" role="search" {
            input type="search" name="text" id="find" placeholder="find a run" aria-label="Find a run by id" autocomplete="off";
        }
        @if frame.live.is_some() { span.live id="live" role="status" { span.dot aria-hidden="true" {} span { "static" } } }
        @if app.settings.access.is_read_only { span.tag { "read only" } }
        @if let Some(who) = &frame.who {
            form.who action="/logout" method="post" {
                input type="hidden" name="csrf" value=(frame.csrf);
                span { (who) }
                button.quiet type="submit" { "log out" }
            }
        }
    }
}

fn keys() -> Markup {
    let keys = [
        ("/", "find a run"),
        ("g then n r c s w", "go to a page"),
        ("j k", "next and previous row"),
        ("Enter", "open it"),
        ("+ −", "zoom the timeline in and out"),
        ("← →", "move along the timeline"),
        ("0", "the whole timeline"),
        ("Esc", "close"),
    ];
    html! {
        h2 { "Keys" }
        dl.keys { @for (key, does) in keys { dt { kbd { (key) } } dd { (does) } } }
        form method="dialog" { button { "Close" } }
    }
}

/// A page about trouble.
pub(crate) fn trouble(trouble: &Trouble) -> String {
    let (title, main) = (trouble.status().canonical_reason().unwrap_or("Trouble"), trouble.to_string());
    let main = html! { div.panel { h1 { (title) } p { (main) } p { a href="/" { "Now" } " · " a href="/runs" { "Runs" } } } };
    document(title, Section::Nowhere, None, &Frame::default(), &main)
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

/// A hash of what is said; the texts of ages are skipped.
fn hash(html: &str) -> u64 {
    const OPEN: &str = "<time";
    const CLOSE: &str = "</time>";
    if !html.contains(OPEN) {
        return xxh3_64(html.as_bytes());
    }
    let mut said = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(OPEN) {
        let tag = rest[at..].find('>').map_or(rest.len(), |end| at + end + 1);
        said.push_str(&rest[..tag]);
        rest = rest[tag..].find(CLOSE).map_or("", |end| &rest[tag + end..]);
    }
    said.push_str(rest);
    xxh3_64(said.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(parts: Vec<Part>) -> Page {
        Page { title: String::new(), section: Section::Now, parts }
    }

    #[test]
    fn an_age_that_grew_is_no_change() {
        let part = |age: &str| Part::new("a", "", html! { time data-at="7" { (age) } " said" });
        assert_eq!(
            page(vec![part("3s ago")]).changes(Some(&page(vec![part("4s ago")]))),
            Vec::<Value>::new()
        );
        let other = Part::new("a", "", html! { time data-at="8" { "3s ago" } " said" });
        assert_eq!(page(vec![other]).changes(Some(&page(vec![part("3s ago")]))).len(), 1);
    }

    #[test]
    fn of_a_list_only_items_that_changed_are_sent_and_the_order_of_all() {
        let list = |items: &[(&str, &str)]| {
            let item = |(id, says): &(&str, &str)| Item::new((*id).to_owned(), &html! { (says) });
            page(vec![Part::list("l", "", items.iter().map(item).collect())])
        };
        let before = list(&[("a", "1"), ("b", "1")]);
        let changes = list(&[("b", "2"), ("a", "1"), ("c", "1")]).changes(Some(&before));
        assert_eq!(changes[0]["order"], json!(["b", "a", "c"]));
        let sent: Vec<&String> = changes[0]["items"].as_object().unwrap().keys().collect();
        assert_eq!(sent, ["b", "c"]);
        assert_eq!(list(&[("a", "1"), ("b", "1")]).changes(Some(&before)), Vec::<Value>::new());
    }
}
