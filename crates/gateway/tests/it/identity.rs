//! Who is calling: runs by path, header, trace, key and session.

use midwatch_workflow::{SpanId, SpanOf};

use crate::stage::{CLIENT_KEY, hello, start};

#[tokio::test]
async fn calls_without_a_name_are_one_run_until_somebody_else_calls() {
    let stage = start("").await;
    let ask = |agent: &'static str| {
        let request = stage.client.post(format!("{}/v1/chat/completions", stage.base));
        request.header("user-agent", agent).json(&hello(false)).send()
    };
    for agent in ["a", "a", "b"] {
        assert_eq!(ask(agent).await.unwrap().status(), 200);
    }
    let mut attempts: Vec<u64> = stage.runs().iter().map(|run| run.attempts).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2]);
}

#[tokio::test]
async fn headers_name_run_step_tenant_and_workflow() {
    let stage = start("").await;
    for step in ["plan", "act", "plan"] {
        let request = stage.client.post(format!("{}/v1/chat/completions", stage.base)).json(&hello(false));
        let request = request
            .header("x-midwatch-run", "thread-7")
            .header("x-midwatch-step", step)
            .header("x-midwatch-tenant", "acme")
            .header("x-midwatch-workflow", "research");
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    let run = stage.run("thread-7");
    assert_eq!((run.workflow.as_str(), run.tenant.as_deref()), ("research", Some("acme")));
    let uses: Vec<(String, u32)> = stage.attempts("thread-7").into_iter().map(|a| (a.step, a.nth)).collect();
    assert_eq!(uses, [("plan".to_owned(), 1), ("act".to_owned(), 1), ("plan".to_owned(), 2)]);
}

#[tokio::test]
async fn a_trace_is_a_run_of_its_own_and_the_upstream_is_told_the_attempts_span() {
    let stage = start("").await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = stage.client.post(format!("{}/v1/chat/completions", stage.base)).json(&hello(false));
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
    assert_eq!(request.header("traceparent", &traceparent).send().await.unwrap().status(), 200);
    let run = stage.run(trace);
    assert_eq!(run.run.to_string(), trace, "the run id is the trace id");
    let told = stage.bills().await.remove(0).traceparent.unwrap();
    let attempt = SpanOf::Attempt { step: "chat", nth: 1, attempt: 1 };
    assert_eq!(told, format!("00-{trace}-{}-01", SpanId::of(run.run, 0, attempt)));
    let events = serde_json::to_string(&stage.events(&run)).unwrap();
    assert!(events.contains("00f067aa0ba902b7"), "the client's span is on record");
}

#[tokio::test]
async fn a_named_run_joins_the_trace_that_its_first_call_brings() {
    let stage = start("").await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let asked = stage.chat("thread-7", &hello(false));
    let asked = asked.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    assert_eq!(asked.send().await.unwrap().status(), 200);
    let run = stage.run("thread-7").run;
    assert_ne!(run.to_string(), trace);
    let told = stage.bills().await.remove(0).traceparent.unwrap();
    let attempt = SpanOf::Attempt { step: "chat", nth: 1, attempt: 1 };
    assert_eq!(told, format!("00-{trace}-{}-01", SpanId::of(run, 0, attempt)));
}

#[tokio::test]
async fn a_virtual_key_lets_in_says_the_tenant_and_is_not_passed_on() {
    let stage = start("[keys.team-a]\nkey_env = \"CLIENT\"\nworkflow = \"agents\"\n").await;
    let ask = |key: &'static str| {
        let request =
            stage.client.post(format!("{}/run/r/v1/chat/completions", stage.base)).json(&hello(false));
        request.bearer_auth(key).header("x-midwatch-tenant", "somebody-else").send()
    };
    let refused = ask("mw-wrong").await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.text().await.unwrap().contains("invalid_api_key"));
    assert_eq!(ask(CLIENT_KEY).await.unwrap().status(), 200);
    let run = stage.run("team-a/r");
    assert_eq!((run.workflow.as_str(), run.tenant.as_deref()), ("agents", Some("team-a")));
}

#[tokio::test]
async fn an_sdk_that_tries_again_is_seen_as_the_next_attempt() {
    use midwatch_simulator::{Cue, Fault};
    let stage = start("").await;
    stage.simulator.script([Cue::anywhere().fault(Fault::Overloaded)]);
    for status in [503, 200] {
        assert_eq!(stage.chat("sdk", &hello(false)).send().await.unwrap().status(), status);
    }
    let attempts: Vec<(u32, u32)> = stage.attempts("sdk").iter().map(|a| (a.nth, a.attempt)).collect();
    assert_eq!(attempts, [(1, 1), (1, 2)]);
}
