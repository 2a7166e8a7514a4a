//! A page as all see it who stay on it: rendered once, and what is new on it is put into words once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::page::Page;

/// A page that many look at.
pub(crate) struct Shown {
    page: Page,
    hash: String,
    /// How many events the run had, if it is the page of one.
    pub(crate) events: Option<usize>,
    pub(crate) at: Instant,
    /// What is new on it for those who had an earlier page, by the hash of that.
    news: Mutex<VecDeque<(String, Arc<str>)>>,
}

/// Most who stay had the page before this one; those who were slow had one of the few before that.
const NEWS_MAX: usize = 8;

impl Shown {
    pub(crate) fn new(page: Page, events: Option<usize>) -> Self {
        let hash = page.hash();
        Self { page, hash, events, at: Instant::now(), news: Mutex::default() }
    }

    /// A hash of everything that it says.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// What is new for somebody who has `before`, as JSON; everything if they have nothing. `None` if nothing is.
    pub(crate) fn news(&self, before: Option<&Self>) -> Option<Arc<str>> {
        let had = before.map_or("", Self::hash);
        if had == self.hash {
            return None;
        }
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = news.iter().find(|(hash, _)| hash == had) {
            return Some(Arc::clone(known));
        }
        let changes = self.page.changes(before.map(|before| &before.page));
        let text: Arc<str> = serde_json::to_string(&changes).ok()?.into();
        if news.len() == NEWS_MAX {
            news.pop_front();
        }
        news.push_back((had.to_owned(), Arc::clone(&text)));
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use maud::html;

    use super::*;
    use crate::page::{Part, Section};

    fn page(words: [&str; 2]) -> Shown {
        let [one, two] = words.map(|word| html! { p { (word) } });
        let parts = vec![Part::new("one", "", one), Part::new("two", "", two)];
        Shown::new(Page { title: String::new(), section: Section::Now, parts }, None)
    }

    #[test]
    fn who_had_the_same_page_is_told_the_same_news_and_who_has_it_already_none() {
        let (before, now) = (page(["a", "b"]), page(["a", "c"]));
        let told = now.news(Some(&before)).unwrap();
        assert!(told.contains("<p>c</p>") && !told.contains("<p>a</p>"), "{told}");
        assert!(Arc::ptr_eq(&told, &now.news(Some(&page(["a", "b"]))).unwrap()), "put into words once");
        assert!(now.news(Some(&page(["a", "c"]))).is_none());
        let whole = now.news(None).unwrap();
        assert!(whole.contains("<p>a</p>") && whole.contains("<p>c</p>"), "{whole}");
        for n in 0..2 * NEWS_MAX {
            assert!(now.news(Some(&page(["z", &n.to_string()]))).is_some());
        }
        assert_eq!(now.news.lock().unwrap().len(), NEWS_MAX);
        assert_eq!(now.news(Some(&before)), Some(told));
    }
}
