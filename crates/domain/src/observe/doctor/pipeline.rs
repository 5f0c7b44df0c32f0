//! Checks of a pipeline: whether its resources exist and are as its manifest declares them.

use super::Check;
use super::finding::{Finding, Looked};
use super::subject::{Scope, Subject};
use crate::pipeline::plan::{Action, PlanReport, PlannedReport};

pub(super) const CHECKS: &[Check] = &[
    Check::new("pipeline-missing", "all resources of the pipeline exist", |s| {
        Box::pin(missing(s))
    }),
    Check::new(
        "pipeline-drift",
        "resources of the pipeline are as declared",
        |s| Box::pin(drift(s)),
    ),
];

async fn missing(subject: &Subject<'_>) -> Looked {
    let plan = subject.plan().await?;
    Ok(plan
        .and_then(|plan| not_there(plan, subject.scope()))
        .into_iter()
        .collect())
}

fn setup(finding: Finding, scope: &Scope, is_safe: bool) -> Finding {
    let words: Vec<&str> = scope.setup.iter().map(String::as_str).collect();
    match is_safe {
        true => finding.safe_fix(&words),
        false => finding.fix(&words),
    }
}

fn title(one: &PlannedReport) -> String {
    format!("{} {}", one.kind.replace('_', " "), one.name)
}

fn not_there(plan: &PlanReport, scope: &Scope) -> Option<Finding> {
    let absent: Vec<&PlannedReport> = plan
        .resources
        .iter()
        .filter(|one| one.action == Action::Create)
        .collect();
    let of = format!("pipeline {}", plan.pipeline);
    let finding = match absent.as_slice() {
        [] => return None,
        all if all.len() == plan.resources.len() => Finding::fault(of, "does not exist: it has no resources"),
        [one] => Finding::fault(of, format!("lacks the {}", title(one))),
        many => {
            let finding = Finding::fault(of, format!("lacks {} of its resources", many.len()));
            many.iter()
                .fold(finding, |finding, one| finding.evidence(title(one)))
        }
    };
    Some(setup(finding, scope, true))
}

async fn drift(subject: &Subject<'_>) -> Looked {
    let Some(plan) = subject.plan().await? else {
        return Ok(Vec::new());
    };
    let resources = plan.resources.iter();
    Ok(resources
        .filter_map(|one| differs(one, subject.scope()))
        .collect())
}

fn differs(one: &PlannedReport, scope: &Scope) -> Option<Finding> {
    let finding = match one.action {
        Action::Update => setup(
            Finding::caution(title(one), "is not as the pipeline declares it"),
            scope,
            false,
        ),
        Action::Refused => Finding::caution(title(one), "cannot be changed to what the pipeline declares"),
        Action::Create | Action::None | Action::Delete | Action::Kept => return None,
    };
    let changes = one.changes.iter();
    Some(changes.fold(finding, |finding, change| finding.evidence(change.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Change;

    fn planned(name: &str, action: Action, changes: Vec<Change>) -> PlannedReport {
        PlannedReport {
            id: name.to_owned(),
            kind: "log_group".to_owned(),
            name: name.to_owned(),
            action,
            detail: String::new(),
            changes,
        }
    }

    fn plan(resources: Vec<PlannedReport>) -> PlanReport {
        PlanReport {
            template: "retail".to_owned(),
            pipeline: "retail/dev".to_owned(),
            changes: 0,
            resources,
            cost: None,
        }
    }

    fn scope() -> Scope {
        Scope {
            setup: vec!["setup".to_owned(), "retail".to_owned()],
            ..Scope::default()
        }
    }

    #[test]
    fn missing_resources_are_set_up_again() {
        let there = || planned("a", Action::None, Vec::new());
        let absent = |name| planned(name, Action::Create, vec![Change::Create]);
        let judge = |resources| not_there(&plan(resources), &scope());
        assert_eq!(judge(vec![there()]), None);
        let one = judge(vec![there(), absent("b")]).unwrap();
        assert_eq!(one.summary, "lacks the log group b");
        assert!(one.fixes[0].is_safe && one.fixes[0].command == "streamctl setup retail");
        let two = judge(vec![there(), absent("b"), absent("c")]).unwrap();
        assert_eq!(two.evidence, ["log group b", "log group c"]);
        let all = judge(vec![absent("b"), absent("c")]).unwrap();
        assert_eq!(all.summary, "does not exist: it has no resources");
    }

    #[test]
    fn differences_are_evidence() {
        let change = Change::update("retention", "7 days", "14 days");
        let found = differs(&planned("a", Action::Update, vec![change]), &scope()).unwrap();
        assert_eq!(found.evidence, ["retention: 7 days → 14 days"]);
        assert_eq!(differs(&planned("a", Action::None, Vec::new()), &scope()), None);
    }
}
