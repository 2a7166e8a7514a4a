//! Form bodies with bracketed names, as Stripe's clients send them.

use serde_json::{Map, Value};

/// Names may be nested this deep; what lies deeper is dropped.
const DEPTH_MAX: usize = 8;

/// Parses `a=1&metadata[order]=42` into an object of strings; `a[]=1` keeps the last value.
pub(crate) fn parse(body: &[u8]) -> Value {
    let mut root = Map::new();
    for (name, value) in form_urlencoded::parse(body) {
        let path: Vec<&str> =
            name.split('[').map(|part| part.trim_end_matches(']')).take(DEPTH_MAX).collect();
        insert(&mut root, &path, value.into_owned());
    }
    Value::Object(root)
}

fn insert(object: &mut Map<String, Value>, path: &[&str], value: String) {
    match path {
        [] => {}
        [name] => {
            object.insert((*name).to_owned(), Value::String(value));
        }
        [name, rest @ ..] => {
            let member = object.entry(*name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = member {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bracketed_names_become_objects_and_escapes_their_characters() {
        assert_eq!(
            parse(b"amount=100&metadata[order_id]=a%26b+c&metadata[run]=r&x[y][z]=1"),
            json!({"amount": "100", "metadata": {"order_id": "a&b c", "run": "r"}, "x": {"y": {"z": "1"}}})
        );
    }
}
