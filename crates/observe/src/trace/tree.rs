//! The spans of a trace as a tree, for people.

use std::collections::{HashMap, HashSet};

use midwatch_workflow::SpanId;

use super::span::{Kind, Span};

/// A span, and how deep it stands.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// The span.
    pub span: &'a Span,
    /// How many spans it is part of.
    pub depth: usize,
    /// Whether it is the last of those that are part of the same one.
    pub is_last: bool,
}

/// Puts each span below the one that it is part of, in the order in which they began. A span whose parent is not here
/// stands at the top. Marks of starts are left out: they only tell other systems of open runs.
pub fn tree(spans: &[Span]) -> Vec<Node<'_>> {
    let shown = || spans.iter().filter(|span| span.kind != Kind::Started);
    let known: HashSet<SpanId> = shown().map(|span| span.id).collect();
    let mut below: HashMap<Option<SpanId>, Vec<&Span>> = HashMap::new();
    for span in shown() {
        let parent = span.parent.filter(|parent| known.contains(parent) && *parent != span.id);
        below.entry(parent).or_default().push(span);
    }
    below.values_mut().for_each(|spans| spans.sort_by_key(|span| (span.start, span.event)));
    let mut nodes = Vec::with_capacity(spans.len());
    let mut left: Vec<Node<'_>> = Vec::new();
    let roots = below.remove(&None).unwrap_or_default();
    extend(&mut left, roots, 0);
    // Each span is taken out of `below` once, so this ends.
    while let Some(node) = left.pop() {
        nodes.push(node);
        extend(&mut left, below.remove(&Some(node.span.id)).unwrap_or_default(), node.depth + 1);
    }
    nodes
}

/// Puts spans on the stack, the first one on top.
fn extend<'a>(stack: &mut Vec<Node<'a>>, spans: Vec<&'a Span>, depth: usize) {
    let count = spans.len();
    let nodes = spans.into_iter().enumerate();
    stack.extend(nodes.map(|(n, span)| Node { span, depth, is_last: n + 1 == count }).rev());
}
