//! Names that others gave their runs, as workflow ids.

use midwatch_workflow::WorkflowId;
use xxhash_rust::xxh3::xxh3_64;

/// Makes a workflow id of a foreign run's name, whatever it is: a thread id, a trace id, a path.
///
/// A name that is one already stays as it is. Control characters become `_`, and of a name that is too long the tail gives
/// way to a hash, so that two names stay two. `None` if there is nothing in it.
///
/// ```
/// use midwatch_recorder::workflow_id;
/// assert_eq!(workflow_id("thread-7").unwrap().as_str(), "thread-7");
/// assert_eq!(workflow_id(&"x".repeat(255)).unwrap().as_str().len(), 200);
/// assert_eq!(workflow_id("  "), None);
/// ```
pub fn workflow_id(name: &str) -> Option<WorkflowId> {
    let name = name.trim();
    if name.is_empty() {
        return None;
    }
    if let Ok(id) = WorkflowId::new(name) {
        return Some(id);
    }
    let hash = format!("~{:016x}", xxh3_64(name.as_bytes()));
    let shown: String = name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    let kept = shown.floor_char_boundary(WorkflowId::BYTES_MAX - hash.len());
    WorkflowId::new(format!("{}{hash}", &shown[..kept])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_a_workflow_id_and_two_names_stay_two() {
        let long = |end: &str| workflow_id(&format!("{}{end}", "é".repeat(120))).unwrap();
        assert_ne!(long("a"), long("b"));
        assert_ne!(workflow_id("a\nb"), workflow_id("a\tb"));
    }
}
