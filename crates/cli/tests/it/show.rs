//! `midwatch show`.

use insta::assert_snapshot;
use midwatch_workflow::{Class, DelayReason, EventKind, Failure, GiveUp};

use crate::journal::{Story, booking, checkout, json, research, written};
use crate::midwatch::midwatch;

#[test]
fn every_attempt_and_wait_is_told_with_its_event() {
    let folder = written(&[checkout()]);
    assert_snapshot!(midwatch(folder.path(), "show order-42").stdout, @r#"
    checkout order-42  r_01010101  completed
    run       01a20c5ab56871018101010101010101
    time      started 2026-11-24 07:00:01 UTC, 9m59s ago, took 4.02s, w1
    spent     3 attempts, 1 failed
    input     {"order":42}

    event  what                                                        took  0                     4.02s
        2  charge_card                                                3.42s  ▒▒▒············████████
              1 rate_limited 429: too many requests                   340ms
        4     waited 2.00s for attempt 2 of 5: the target asked for it
        6     2 ok                                                    1.08s
        8  print_label  ok                                            600ms                        █████
       10  completed: {"receipt":"label-7"}
    "#);
}

#[test]
fn a_compensation_says_what_it_undoes_and_messages_are_harmless() {
    let folder = written(&[booking()]);
    assert_snapshot!(midwatch(folder.path(), "show trip-7").stdout, @r#"
    booking trip-7  r_02020202  compensated
    run       01a20c5ab95072028202020202020202
    time      started 2026-11-24 07:00:02 UTC, 9m58s ago, took 1.50s, w1
    spent     3 attempts, 1 failed
    tenant    acme
    input     {"order":42}

    event  what                                                        took  0                     1.50s
        2  book_flight (undone)  ok                                   800ms  ███████████████
        4  book_hotel                                                 400ms                ▒▒▒▒▒▒▒▒
              1 invalid_request 422: no room [2J left                 400ms
        6     gave up after 1 attempt: this class is not retried
        7  undoes cancel_flight, because of invalid_request 422: no room [2J left
        8  cancel_flight undoes book_flight  ok                       300ms                       ██████
       10  failed, 1 step undone: invalid_request 422: no room [2J left
    "#);
}

#[test]
fn a_parked_run_comes_with_the_commands_that_move_it() {
    let folder = written(&[research()]);
    assert_snapshot!(midwatch(folder.path(), "show paper-9").stdout, @r#"
    research paper-9  r_03030303  parked
    parked    9m20s ago, a budget is reached: run: $0.51 of $0.50 are spent
    next      midwatch budget r_03030303 --add USD          raise the budget and go on
    next      midwatch resolve r_03030303 call_llm --fail   give the step up and compensate
    says      reading 3 of 9 papers
    run       01a20c5abd3873038303030303030303
    time      started 2026-11-24 07:00:03 UTC, 9m57s ago, w1
    spent     2 attempts, 1 failed · 18,920 tokens · $0.51, $0.20 of it on failed attempts
    budget    $0.50, then parks the run
    input     {"order":42}

    event  what                                                        took  0                     9m57s
        2  says: reading 3 of 9 papers
        3  call_llm                                                   36.2s  ▒█
              1 stalled: no token for 30 s · 9,120 tokens · $0.20     31.0s
        5     waited 1.20s for attempt 2 of 5: backoff
        7     2 ok · 9,800 tokens · $0.31                             4.00s
        9  parked, a budget is reached: run: $0.51 of $0.50 are       9m20s   ··························
           spent
    "#);
}

#[test]
fn what_a_retry_voided_stays_visible() {
    let mut story = Story::begin(4, "checkout", "order-44");
    let first = story.attempt("reserve", 1);
    story.after(100).ok(first, "1");
    let charge = story.attempt("charge_card", 1);
    let failure = Failure::new(Class::Server, "internal error").status(500);
    story.after(200).fails(charge, failure.clone());
    story.gives_up("charge_card", 1, GiveUp::Attempts);
    story.ends_failed(failure, 0);
    story.after(60_000).push(EventKind::Rewound { to: 3, by: "ann".to_owned() });
    story.back_to(1);
    let charge = story.attempt("charge_card", 1);
    story.after(900).ok(charge, "2");
    story.completes("2");
    let folder = written(&[story]);
    assert_snapshot!(midwatch(folder.path(), "show order-44").stdout, @r#"
    checkout order-44  r_04040404  completed
    run       01a20c5ac12074048404040404040404
    time      started 2026-11-24 07:00:04 UTC, 9m56s ago, took 1m01s, w1
    spent     3 attempts, 1 failed
    input     {"order":42}

    event  what                                                        took  0                     1m01s
        2  reserve  ok                                                100ms  █
        4  charge_card                                                1m01s  ▒                         █
              1 server 500: internal error (void since event 8)       200ms
        9     1 ok                                                    900ms
        8  taken back to event 3 by ann
       11  completed: 2
    "#);
}

#[test]
fn open_waits_say_until_when() {
    let mut story = Story::begin(5, "approve", "claim-5");
    let call = story.attempt("ask", 1);
    story.after(50).fails(call, Failure::new(Class::Overloaded, "overloaded").status(529));
    let retry = story.retries("ask", 2, 900_000, DelayReason::Backoff);
    let op = story.op();
    story.push(EventKind::SignalAwaited { op, name: "approve".to_owned() });
    story.push(EventKind::SignalReceived { name: "other".to_owned(), payload: json("1"), id: None });
    let beating = story.attempt("crawl", 1);
    story.after(5_000).push(EventKind::Heartbeat {
        op: beating,
        progress: json(r#""page 3 of 9""#),
        charges: vec![],
    });
    assert_eq!(retry.0, 2);
    let folder = written(&[story]);
    assert_snapshot!(midwatch(folder.path(), "show claim-5").stdout, @r#"
    approve claim-5  r_05050505  running
    next      midwatch signal r_05050505 approve JSON       send what it waits for
    run       01a20c5ac50875058505050505050505
    time      started 2026-11-24 07:00:05 UTC, 9m55s ago, w1
    spent     2 attempts, 1 failed
    input     {"order":42}

    event  what                                                        took  0                     9m55s
        2  ask                                                         50ms  ▒··························
              1 overloaded 529: overloaded                             50ms
        4     waits 15m00s for attempt 2 of 5, due in 5m05s: backoff
        5  waits for signal approve                                   9m54s  ···························
        6  signal other came, nothing waits for it: 1
        7  crawl  running, at most 30.0s, beat 1 9m49s ago: "page     9m54s  ███████████████████████████
           3 of 9"
    "#);
}

#[test]
fn the_raw_events_are_numbered() {
    let folder = written(&[booking()]);
    assert_snapshot!(midwatch(folder.path(), "show trip-7 --events").stdout, @r#"
     1  07:00:02.000  {"run_started":{"run":"01a20c5ab95072028202020202020202","workflow":"booking","workflow_id":"trip-7","input":{"order":42},"tenant":"acme","worker":"w1"}}
     2  07:00:02.000  {"attempt_scheduled":{"op":1,"step":"book_flight","timeout_ms":30000,"undo":"cancel_flight"}}
     3  07:00:02.800  {"attempt_ended":{"op":1,"result":{"ok":1}}}
     4  07:00:02.800  {"attempt_scheduled":{"op":2,"step":"book_hotel","timeout_ms":30000}}
     5  07:00:03.200  {"attempt_ended":{"op":2,"result":{"failed":{"class":"invalid_request","message":"no room\u001b[2J left","status":422}}}}
     6  07:00:03.200  {"noted":{"op":3,"note":{"gave_up":{"step":"book_hotel","attempts":1,"because":"class"}}}}
     7  07:00:03.200  {"noted":{"op":4,"note":{"compensating":{"cause":{"class":"invalid_request","message":"no room\u001b[2J left","status":422},"steps":["cancel_flight"]}}}}
     8  07:00:03.200  {"attempt_scheduled":{"op":5,"step":"cancel_flight","timeout_ms":30000,"undoes":1}}
     9  07:00:03.500  {"attempt_ended":{"op":5,"result":{"ok":null}}}
    10  07:00:03.500  {"run_ended":{"result":{"failed":{"failure":{"class":"invalid_request","message":"no room\u001b[2J left","status":422},"compensated":1,"resolved":0}}}}
    "#);
    let ran = midwatch(folder.path(), "show trip-7 --events --json");
    let last: serde_json::Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last["number"], 10);
}

#[test]
fn the_json_has_summary_and_timeline_in_one_object() {
    let folder = written(&[checkout()]);
    let ran = midwatch(folder.path(), "show order-42 --json");
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shown["summary"]["status"], "completed");
    insta::assert_json_snapshot!(shown["timeline"]["entries"][0], @r#"
    {
      "asked": {
        "at": 1795503601000000,
        "event": 2
      },
      "attempts": [
        {
          "asked": {
            "at": 1795503601000000,
            "event": 2
          },
          "end": {
            "mark": {
              "at": 1795503601340000,
              "event": 3
            },
            "result": {
              "failed": {
                "class": "rate_limited",
                "message": "too many requests",
                "retry_after_ms": 2000,
                "status": 429
              }
            }
          },
          "number": 1,
          "op": 1,
          "retry": {
            "asked": {
              "at": 1795503601340000,
              "event": 4
            },
            "attempt": 2,
            "because": "retry_after",
            "fired": {
              "at": 1795503603340000,
              "event": 5
            },
            "of": 5,
            "op": 2,
            "until": 1795503603340000
          },
          "started": {
            "at": 1795503601000000,
            "event": 2
          },
          "timeout_ms": 30000
        },
        {
          "asked": {
            "at": 1795503603340000,
            "event": 6
          },
          "end": {
            "mark": {
              "at": 1795503604420000,
              "event": 7
            },
            "result": {
              "ok": {
                "id": "ch_1"
              }
            }
          },
          "number": 2,
          "op": 3,
          "started": {
            "at": 1795503603340000,
            "event": 6
          },
          "timeout_ms": 30000
        }
      ],
      "kind": "step",
      "name": "charge_card",
      "nth": 1,
      "op": 1,
      "target": "stripe",
      "undo": "refund"
    }
    "#);
}

#[test]
fn a_run_is_found_by_id_short_id_digits_or_workflow_id() {
    let story = checkout();
    let (id, short) = (story.run.to_string(), story.run.short());
    let folder = written(&[story, booking()]);
    for name in [id.as_str(), &short, &id[..13], "order-42"] {
        let ran = midwatch(folder.path(), &format!("show --json {name}"));
        let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(shown["summary"]["run"], id, "{name}");
    }
}

#[test]
fn a_name_of_several_runs_lists_them() {
    let folder = written(&[checkout(), booking()]);
    let ran = midwatch(folder.path(), "show 01a2");
    assert_snapshot!(ran.all(), @r"
    exit 2
    --- stderr
    error: [MW0201] `01a2` names more than one run
      name one of them:
        01a20c5ab95072028202020202020202  booking trip-7, compensated
        01a20c5ab56871018101010101010101  checkout order-42, completed
    ");
}

#[test]
fn a_name_of_no_run_is_exit_code_3() {
    let folder = written(&[checkout()]);
    assert_snapshot!(midwatch(folder.path(), "show nobody").all(), @r"
    exit 3
    --- stderr
    error: [MW0101] there is no run `nobody` in midwatch.db
      list what there is: midwatch ls
    ");
}
