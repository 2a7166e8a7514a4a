//! `midwatch trace`.

use serde_json::Value;

use crate::journal::{booking, checkout, research, written};
use crate::midwatch::{Ran, midwatch};

#[test]
fn a_trace_is_a_tree_of_spans_to_scale() {
    let folder = written(&[booking()]);
    insta::assert_snapshot!(midwatch(folder.path(), "trace trip-7").all());
}

#[test]
fn as_json_each_span_has_its_ids_and_the_tree_is_whole() {
    let folder = written(&[checkout(), research()]);
    for asked in ["order-42", "paper-9"] {
        let Ran { code, stdout, .. } = midwatch(folder.path(), &format!("trace {asked} --json"));
        assert_eq!(code, 0);
        let spans: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ids: Vec<&Value> = spans.iter().map(|span| &span["span_id"]).collect();
        for span in &spans {
            assert!(span["parent_id"].is_null() || ids.contains(&&span["parent_id"]), "{span}");
            assert_eq!(span["trace_id"], spans[0]["trace_id"]);
        }
        let is_open = asked == "paper-9";
        assert_eq!(spans.iter().any(|span| span["state"] == "open"), is_open);
    }
}

#[test]
fn a_collector_that_is_not_there_is_an_error_that_names_it() {
    let folder = written(&[checkout()]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let ran = midwatch(folder.path(), &format!("trace order-42 --otlp http://127.0.0.1:{port}"));
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(ran.stderr.contains(&format!("http://127.0.0.1:{port}/v1/traces")), "{}", ran.stderr);
    let ran = midwatch(folder.path(), "trace order-42 --otlp ftp://nowhere");
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(ran.stderr.contains("expected http:// or https://"), "{}", ran.stderr);
}

#[test]
fn a_run_is_needed_unless_all_are_followed() {
    let folder = written(&[checkout()]);
    assert_eq!(midwatch(folder.path(), "trace").code, 2);
    assert_eq!(midwatch(folder.path(), "trace nowhere").code, 3);
}
