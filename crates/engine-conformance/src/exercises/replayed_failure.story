main started
step charge given 5
step charge failed: replayed_failure: no
parked: question about charge (replayed_failure)
question about charge (replayed_failure) answered by ann: retry
step charge attempt 2
step charge failed: replayed_failure: no
parked: question about charge (replayed_failure)#2
question about charge (replayed_failure)#2 answered by ann: done: "charged, says the bank"
completed: "charged, says the bank"
