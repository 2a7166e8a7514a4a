//! What tells attempts from one another, kept in the JSON objects that they are given and say; and the marks that are known.

use std::collections::{HashSet, VecDeque};

use midwatch_workflow::Payload;
use serde::{Deserialize, Serialize};

/// So many marks of a run are known, the latest ones.
const MARKS_MAX: usize = 20_000;

/// The latest marks of a run.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Marks {
    pub(crate) fn add(&mut self, mark: String) {
        if !self.known.insert(mark.clone()) {
            return;
        }
        self.order.push_back(mark);
        if self.order.len() > MARKS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(crate) fn contains(&self, mark: &str) -> bool {
        self.known.contains(mark)
    }
}

/// The fields by which what is recorded is known again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ids {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) same: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<String>,
    /// In one text, parted by spaces: people see it.
    #[serde(default, with = "in_one", rename = "marks", skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<String>,
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) watched: bool,
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) held: bool,
    /// Of an output: what the provider calls its answer.
    #[serde(default, skip_serializing)]
    pub(crate) response_id: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_not(said: &bool) -> bool {
    !said
}

impl Ids {
    pub(crate) fn of(payload: &Payload) -> Self {
        if !payload.as_str().starts_with('{') {
            return Self::default();
        }
        serde_json::from_str(payload.as_str()).unwrap_or_default()
    }

    /// By what the answer of a call is known.
    pub(crate) fn call(self) -> Option<String> {
        self.response_id.map(|id| format!("id:{id}"))
    }

    /// Adds the fields to a payload that is an object, or makes one of them alone.
    pub(crate) fn put_on(&self, payload: Option<&Payload>) -> Option<Payload> {
        let ids = serde_json::to_string(self).unwrap_or_default();
        let ids = ids.trim_start_matches('{').trim_end_matches('}');
        let object = match payload.map(Payload::as_str) {
            _ if ids.is_empty() => return payload.cloned(),
            None | Some("null") => "{}",
            Some(object) if object.starts_with('{') => object,
            Some(_) => return payload.cloned(),
        };
        let fields = object[1..object.len() - 1].trim();
        let comma = if fields.is_empty() { "" } else { "," };
        Payload::from_json(&format!("{{{fields}{comma}{ids}}}")).ok()
    }
}

mod in_one {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(marks: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&marks.join(" "))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(text.split(' ').filter(|mark| !mark.is_empty()).map(str::to_owned).collect())
    }
}

/// The input of a run that is held.
pub(crate) fn held(input: Payload) -> Payload {
    Ids { held: true, ..Ids::default() }.put_on(Some(&input)).unwrap_or(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_on_an_object_is_read_from_it() {
        let ids = Ids { mark: Some("a}\"".to_owned()), also: vec!["b".to_owned()], ..Ids::default() };
        for input in [None, Some("{}"), Some("{ \"x\": {\"y\":1} }")] {
            let put = ids.put_on(input.map(|json| Payload::from_json(json).unwrap()).as_ref()).unwrap();
            let read = Ids::of(&put);
            assert_eq!((read.mark, read.also), (ids.mark.clone(), ids.also.clone()), "{}", put.as_str());
        }
        let text = Payload::from_json("\"text\"").unwrap();
        assert_eq!(ids.put_on(Some(&text)), Some(text));
        assert_eq!(Ids::default().put_on(None), None);
    }

    #[test]
    fn of_many_marks_the_latest_are_known() {
        let mut marks = Marks::default();
        (0..=MARKS_MAX).for_each(|number| marks.add(number.to_string()));
        assert!(!marks.contains("0") && marks.contains("1") && marks.contains(&MARKS_MAX.to_string()));
    }
}
