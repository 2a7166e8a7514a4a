//! The code that an engine can run, by name.

use std::collections::HashMap;

use crate::{Name, StepDefinition, WorkflowDefinition};

/// Workflows and steps by their registered names.
#[derive(Clone, Default, Debug)]
pub struct Registry {
    workflows: HashMap<Name, WorkflowDefinition>,
    steps: HashMap<Name, StepDefinition>,
}

impl Registry {
    /// Adds a workflow; the last one of a name counts.
    pub fn add_workflow(&mut self, workflow: WorkflowDefinition) {
        self.workflows.insert(workflow.name().clone(), workflow);
    }

    /// Adds a step; the last one of a name counts.
    pub fn add_step(&mut self, step: StepDefinition) {
        self.steps.insert(step.name().clone(), step);
    }

    /// Puts the same thing around all steps that are here now.
    pub fn map_steps(&mut self, change: impl Fn(StepDefinition) -> StepDefinition) {
        let steps = std::mem::take(&mut self.steps);
        self.steps = steps.into_iter().map(|(name, step)| (name, change(step))).collect();
    }

    /// The workflow of this name.
    pub fn workflow(&self, name: &str) -> Option<&WorkflowDefinition> {
        self.workflows.get(name)
    }

    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&StepDefinition> {
        self.steps.get(name)
    }

    /// All workflows, in no order.
    pub fn workflows(&self) -> impl Iterator<Item = &WorkflowDefinition> {
        self.workflows.values()
    }

    /// All steps, in no order.
    pub fn steps(&self) -> impl Iterator<Item = &StepDefinition> {
        self.steps.values()
    }
}
