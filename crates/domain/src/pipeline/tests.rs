//! Tests of the engine on the in-memory cloud.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;

use super::apply::RunReport;
use super::event::{Event, ResourceResult, What};
use super::fake::{Cloud, draft, manifest, request, row};
use super::plan::Action;
use super::*;
use ground::exit::Exit;
use ground::stop::Stop;

const SILENT: event::Events<'static> = &|_| {};

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
}

/// Sets up the boxes of [`fake::row`].
async fn setup(cloud: &Cloud, values: &[(&str, &str)]) -> RunReport {
    let pipeline = draft(values).bind(cloud).unwrap();
    let plan = pipeline.plan().await.unwrap();
    pipeline.apply(plan, SILENT, &Stop::default()).await.unwrap()
}

async fn destroy(cloud: &Cloud, adopt: bool) -> RunReport {
    let request = Request {
        adopt,
        everything: true,
        ..Request::default()
    };
    let pipeline = Draft::new(row(), request).unwrap().bind(cloud).unwrap();
    let survey = pipeline.survey().await.unwrap();
    pipeline.destroy(survey, SILENT, &Stop::default()).await
}

fn results(report: &RunReport) -> Vec<(&str, ResourceResult)> {
    report
        .resources
        .iter()
        .map(|one| (one.id.as_str(), one.result))
        .collect()
}

#[test]
fn a_second_setup_changes_nothing() {
    block_on(async {
        let cloud = Cloud::default();
        let first = setup(&cloud, &[]).await;
        assert_eq!(first.exit, Exit::Done);
        assert!(
            results(&first)
                .iter()
                .all(|(_, result)| *result == ResourceResult::Created)
        );
        let calls = cloud.state().calls.len();
        let second = setup(&cloud, &[]).await;
        assert!(
            results(&second)
                .iter()
                .all(|(_, result)| *result == ResourceResult::Unchanged)
        );
        assert_eq!(cloud.state().calls.len(), calls);
        assert_eq!(
            second.outputs,
            BTreeMap::from([("serial".into(), "serial-box-d".into())])
        );
    });
}

#[test]
fn two_runs_at_once_make_each_resource_once() {
    block_on(async {
        for lag in 0..3 {
            let cloud = Cloud::default();
            cloud.state().lag = lag;
            let (one, other) = tokio::join!(setup(&cloud, &[]), setup(&cloud, &[]));
            assert_eq!(
                (one.exit, other.exit),
                (Exit::Done, Exit::Done),
                "{one:?} {other:?}"
            );
            let state = cloud.state();
            for name in ["box-a", "box-b", "box-c", "box-d"] {
                let made = state
                    .calls
                    .iter()
                    .filter(|call| **call == format!("create {name}"));
                assert_eq!(made.count(), 1, "{name}");
            }
            assert_eq!(state.boxes["box-d"].beside, "serial-box-b");
            assert!(
                state
                    .boxes
                    .values()
                    .all(|one| !one.tags.contains_key(tags::UNFINISHED))
            );
        }
    });
}

#[test]
fn outputs_that_are_known_late_reach_dependent_resources() {
    block_on(async {
        let cloud = Cloud::default();
        let pipeline = draft(&[]).bind(&cloud).unwrap();
        let plan = pipeline.plan().await.unwrap();
        assert_eq!(pipeline.outputs().unwrap()["serial"], UNKNOWN);
        pipeline.apply(plan, SILENT, &Stop::default()).await.unwrap();
        assert_eq!(cloud.state().boxes["box-d"].beside, "serial-box-b");
    });
}

#[test]
fn apply_waits_until_changes_are_visible() {
    block_on(async {
        let cloud = Cloud::default();
        cloud.state().lag = 3;
        assert_eq!(setup(&cloud, &[]).await.exit, Exit::Done);
        assert_eq!(cloud.state().boxes["box-d"].beside, "serial-box-b");
        assert_eq!(destroy(&cloud, false).await.exit, Exit::Done);

        cloud.state().lag = u32::MAX;
        let never_seen = setup(&cloud, &[]).await;
        assert_eq!(never_seen.exit, Exit::Partial);
        assert_eq!(
            never_seen.resources[0].detail,
            "was created but is not visible yet (completed: create)"
        );
    });
}

#[test]
fn only_what_the_user_names_changes() {
    block_on(async {
        let cloud = Cloud::default();
        setup(&cloud, &[("size", "7")]).await;
        let again = setup(&cloud, &[]).await;
        assert_eq!(again.resources[0].result, ResourceResult::Unchanged);
        assert_eq!(cloud.state().boxes["box-a"].size, 7);
        let named = setup(&cloud, &[("size", "8")]).await;
        assert_eq!(named.resources[0].detail, "size: 7 → 8");
        assert_eq!(cloud.state().boxes["box-a"].size, 8);
        // A literal of the template is restored.
        cloud.state().boxes.get_mut("box-b").unwrap().size = 99;
        setup(&cloud, &[]).await;
        assert_eq!(cloud.state().boxes["box-b"].size, 2);
    });
}

#[test]
fn a_change_that_needs_a_replacement_is_refused_before_anything_is_changed() {
    block_on(async {
        let cloud = Cloud::default();
        setup(&cloud, &[]).await;
        let calls = cloud.state().calls.len();
        let pipeline = draft(&[("colour", "blue"), ("size", "5")]).bind(&cloud).unwrap();
        let plan = pipeline.plan().await.unwrap();
        assert_eq!(plan.report(&pipeline).resources[0].action, Action::Refused);
        let error = plan.check().unwrap_err();
        insta::assert_snapshot!(error, @"box box-a cannot be painted");
        insta::assert_snapshot!(error.hint_text().unwrap(), @"nothing was changed; make another");
        assert_eq!(cloud.state().calls.len(), calls);
    });
}

#[test]
fn foreign_resources_are_changed_only_with_adopt() {
    block_on(async {
        let cloud = Cloud::default();
        setup(&cloud, &[]).await;
        let mark = |name: &str, key: &str, value: &str| {
            let mut state = cloud.state();
            state
                .boxes
                .get_mut(name)
                .unwrap()
                .tags
                .insert(key.into(), value.into());
        };
        mark("box-a", tags::MANAGED_BY, "hand");
        mark("box-b", tags::PIPELINE, "boxes/two");
        mark("box-b", "Theirs", "stays");
        let pipeline = draft(&[]).bind(&cloud).unwrap();
        let error = pipeline.plan().await.unwrap().check().unwrap_err();
        insta::assert_snapshot!(error.chain().join("\n"), @r#"
        2 resources cannot be changed
        box box-a was not created by streamctl
        box box-b belongs to the pipeline boxes/two
        "#);

        let kept = destroy(&cloud, false).await;
        assert_eq!(
            results(&kept)
                .iter()
                .filter(|(_, result)| *result == ResourceResult::Kept)
                .count(),
            2
        );
        assert!(cloud.state().boxes.contains_key("box-a"));
        // The others are gone, and what is kept is left: partly done, both times.
        assert_eq!(kept.exit, Exit::Partial);
        let again = destroy(&cloud, false).await;
        assert_eq!(again.exit, Exit::Partial);
        let reasons: Vec<String> = again.resources.iter().map(|one| one.detail.clone()).collect();
        assert!(
            reasons.contains(&"belongs to the pipeline boxes/two".to_owned()),
            "{reasons:?}"
        );

        let adopting = Request {
            adopt: true,
            ..request(&[])
        };
        let pipeline = Draft::new(row(), adopting).unwrap().bind(&cloud).unwrap();
        let plan = pipeline.plan().await.unwrap();
        let report = pipeline.apply(plan, SILENT, &Stop::default()).await.unwrap();
        assert_eq!(report.exit, Exit::Done);
        assert_eq!(cloud.state().boxes["box-b"].tags["Theirs"], "stays");
        assert_eq!(destroy(&cloud, false).await.exit, Exit::Done);
        assert!(cloud.state().boxes.is_empty());
    });
}

#[test]
fn a_failure_skips_only_dependent_resources() {
    block_on(async {
        let cloud = Cloud::default();
        cloud.state().broken.push("box-b".into());
        let report = setup(&cloud, &[]).await;
        assert_eq!(report.exit, Exit::Partial);
        assert_eq!(
            results(&report),
            [
                ("a", ResourceResult::Created),
                ("b", ResourceResult::Failed),
                ("c", ResourceResult::Created),
                ("d", ResourceResult::Skipped)
            ]
        );
        assert_eq!(report.resources[3].detail, "needs b, which was not completed");

        let cloud = Cloud::default();
        cloud.state().broken.push("box-a".into());
        assert_eq!(setup(&cloud, &[]).await.exit, Exit::Failed);
    });
}

#[test]
fn independent_resources_run_in_parallel_up_to_the_limit() {
    block_on(async {
        let many: String = (0..20)
            .map(|n| format!("[[resources]]\nkind = \"box\"\nid = \"x{n}\"\nproperties.name = \"x{n}\"\n"))
            .collect();
        let cloud = Cloud::default();
        let pipeline = Draft::new(manifest(&many), Request::default())
            .unwrap()
            .bind(&cloud)
            .unwrap();
        let plan = pipeline.plan().await.unwrap();
        pipeline.apply(plan, SILENT, &Stop::default()).await.unwrap();
        assert_eq!(cloud.state().max_parallel, walk::MAX_PARALLEL);
        assert_eq!(cloud.state().boxes.len(), 20);
    });
}

#[test]
fn a_stop_completes_running_calls_and_starts_none() {
    block_on(async {
        let cloud = Cloud::default();
        let stop = Stop::default();
        let stop_at_a = |event: Event| {
            if event.id == "a" && matches!(event.what, What::Doing(_)) {
                stop.set();
            }
        };
        let pipeline = draft(&[]).bind(&cloud).unwrap();
        let plan = pipeline.plan().await.unwrap();
        let report = pipeline.apply(plan, &stop_at_a, &stop).await.unwrap();
        assert_eq!(report.exit, Exit::Interrupted);
        for (id, result) in results(&report) {
            let begun = id == "a";
            let expected = if begun {
                ResourceResult::Stopped
            } else {
                ResourceResult::Skipped
            };
            assert_eq!(result, expected, "{id}");
        }
        // The running call was completed and the next one not started. The next run finishes the box.
        assert_eq!(cloud.state().calls, ["create box-a"]);
        assert_eq!(setup(&cloud, &[]).await.exit, Exit::Done);
        assert_eq!(cloud.state().boxes["box-a"].size, 1);
    });
}

#[test]
fn destroy_runs_in_reverse_order_and_reports_what_is_left() {
    block_on(async {
        let cloud = Cloud::default();
        setup(&cloud, &[("extra", "true")]).await;
        cloud.state().calls.clear();
        cloud.state().broken.push("box-b".into());
        let report = destroy(&cloud, false).await;
        assert_eq!(report.exit, Exit::Partial);
        let calls = cloud.state().calls.clone();
        let at = |call: &str| calls.iter().position(|one| one == call);
        // `b` was not deleted, so the deletion of `a` was not tried.
        assert_eq!(calls.len(), 3);
        assert!(at("delete box-d").is_some() && at("delete box-e") < at("delete box-c"));
        cloud.state().broken.clear();
        let report = destroy(&cloud, false).await;
        assert_eq!(report.exit, Exit::Done);
        assert!(cloud.state().boxes.is_empty());
        let nothing = destroy(&cloud, false).await;
        assert!(
            results(&nothing)
                .iter()
                .all(|(_, result)| *result == ResourceResult::Absent)
        );
    });
}

#[test]
fn what_something_uses_that_stays_is_kept() {
    block_on(async {
        let cloud = Cloud::default();
        setup(&cloud, &[]).await;
        let user = |kind, name: &str| resource::User {
            kind,
            name: name.to_owned(),
        };
        // `d` goes with the pipeline, the function does not.
        let users = vec![user("box", "box-d"), user("function", "theirs")];
        cloud.state().users.insert("box-b".into(), users);
        cloud
            .state()
            .users
            .insert("box-c".into(), vec![user("box", "box-d")]);
        let report = destroy(&cloud, false).await;
        assert_eq!(report.exit, Exit::Partial);
        let kept = report.resources.iter().find(|one| one.id == "b").unwrap();
        assert_eq!(kept.result, ResourceResult::Kept);
        assert_eq!(kept.detail, "is used by function theirs");
        let left: Vec<String> = cloud.state().boxes.keys().cloned().collect();
        assert_eq!(left, ["box-b"]);
        assert_eq!(
            destroy(&cloud, true).await.exit,
            Exit::Partial,
            "also where it adopts"
        );
        // `d` was deleted before: another run may have done it after `d` was seen as a user.
        let users = vec![user("box", "box-d")];
        cloud.state().users.insert("box-b".into(), users);
        assert_eq!(destroy(&cloud, false).await.exit, Exit::Done);
    });
}

#[test]
fn what_its_service_makes_again_is_deleted_last_and_again() {
    block_on(async {
        let cloud = Cloud::default();
        setup(&cloud, &[]).await;
        cloud.state().calls.clear();
        cloud.state().returning.insert("box-d".into(), 1);
        let report = destroy(&cloud, false).await;
        assert_eq!(report.exit, Exit::Done);
        assert_eq!(cloud.state().calls[3..], ["delete box-d", "delete box-d"]);
        assert!(cloud.state().boxes.is_empty());
        // One that always comes back is a fault in the end.
        setup(&cloud, &[]).await;
        cloud.state().returning.insert("box-d".into(), 9);
        let report = destroy(&cloud, false).await;
        assert_ne!(report.exit, Exit::Done);
        let left = report.resources.iter().find(|one| one.id == "d").unwrap();
        assert_eq!(left.detail, "still exists after its deletion");
        assert_eq!(cloud.state().boxes.len(), 1);
    });
}

#[test]
fn verify_reports_missing_and_changed_resources() {
    block_on(async {
        let cloud = Cloud::default();
        setup(&cloud, &[]).await;
        let pipeline = draft(&[]).bind(&cloud).unwrap();
        assert_eq!(pipeline.verify(true).await.unwrap().state, CheckState::Good);
        cloud.state().boxes.remove("box-d");
        cloud.state().boxes.get_mut("box-c").unwrap().size = 9;
        let report = pipeline.verify(true).await.unwrap();
        let faults: Vec<String> = report
            .resources
            .iter()
            .flat_map(|one| one.checks.iter().map(move |check| (one, check)))
            .filter(|(_, check)| check.state == CheckState::Fault)
            .map(|(one, check)| format!("{} {}: {}", one.id, check.check, check.detail))
            .collect();
        assert_eq!(faults, ["c as declared: size: 9 → 3", "d exists: not found"]);
    });
}

#[test]
fn tags_are_set_on_every_resource_and_can_be_removed() {
    block_on(async {
        let cloud = Cloud::default();
        setup(&cloud, &[]).await;
        let tagged = |tags: &[(&str, &str)], untag: &[&str]| Request {
            tags: tags.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            untag: untag.iter().map(|key| (*key).into()).collect(),
            ..request(&[])
        };
        for request in [tagged(&[("Team", "blue sky")], &[]), tagged(&[], &["Team"])] {
            let removes = !request.untag.is_empty();
            let pipeline = Draft::new(row(), request).unwrap().bind(&cloud).unwrap();
            let plan = pipeline.plan().await.unwrap();
            pipeline.apply(plan, SILENT, &Stop::default()).await.unwrap();
            let state = cloud.state();
            assert!(
                state
                    .boxes
                    .values()
                    .all(|one| one.tags.contains_key("Team") != removes)
            );
            assert!(state.boxes.values().all(|one| one.tags["Project"] == "test"));
        }
    });
}

#[test]
fn events_cover_each_resource_from_start_to_end() {
    block_on(async {
        let cloud = Cloud::default();
        let told = Mutex::new(Vec::new());
        let tell = |event: Event| {
            told.lock()
                .unwrap()
                .push(format!("{}: {:?}", event.id, event.what))
        };
        let pipeline = draft(&[]).bind(&cloud).unwrap();
        let plan = pipeline.plan().await.unwrap();
        pipeline.apply(plan, &tell, &Stop::default()).await.unwrap();
        let told = told.into_inner().unwrap();
        assert_eq!(
            told[..2],
            ["a: Doing(\"creating\")", "a: Finished(Created, \"\")"]
        );
        assert_eq!(told.len(), 8);
    });
}

fn only(ids: &[&str]) -> Request {
    Request {
        only: Some(ids.iter().map(|id| (*id).to_owned()).collect()),
        ..request(&[])
    }
}

#[test]
fn a_part_is_applied_with_its_dependencies() {
    block_on(async {
        let cloud = Cloud::default();
        let pipeline = Draft::new(row(), only(&["d"])).unwrap().bind(&cloud).unwrap();
        let plan = pipeline.plan().await.unwrap();
        let report = pipeline.apply(plan, SILENT, &Stop::default()).await.unwrap();
        let made: Vec<&str> = results(&report).into_iter().map(|(id, _)| id).collect();
        assert_eq!(made, ["a", "b", "d"]);
        assert_eq!(report.outputs["serial"], "serial-box-d");
        assert!(!cloud.state().boxes.contains_key("box-c"));
        // The resources that the part needs are those of the whole pipeline.
        let whole = setup(&cloud, &[]).await;
        let created: Vec<(&str, ResourceResult)> = results(&whole);
        assert_eq!(created[2], ("c", ResourceResult::Created));
        assert_eq!(
            created
                .iter()
                .filter(|(_, result)| *result == ResourceResult::Unchanged)
                .count(),
            3
        );
    });
}

#[test]
fn a_selected_resource_ignores_its_condition() {
    block_on(async {
        let cloud = Cloud::default();
        let pipeline = Draft::new(row(), only(&["e"])).unwrap().bind(&cloud).unwrap();
        let plan = pipeline.plan().await.unwrap();
        let report = pipeline.apply(plan, SILENT, &Stop::default()).await.unwrap();
        assert!(results(&report).contains(&("e", ResourceResult::Created)));
    });
}

#[test]
fn destroy_of_a_part_deletes_only_this_part() {
    block_on(async {
        let cloud = Cloud::default();
        setup(&cloud, &[("extra", "true")]).await;
        cloud.state().calls.clear();
        let request = Request {
            everything: true,
            ..only(&["b", "d"])
        };
        let pipeline = Draft::new(row(), request).unwrap().bind(&cloud).unwrap();
        let survey = pipeline.survey().await.unwrap();
        assert_eq!(survey.to_delete(), ["box box-d", "box box-b"]);
        assert_eq!(survey.report(&pipeline).resources.len(), 2);
        let report = pipeline.destroy(survey, SILENT, &Stop::default()).await;
        assert_eq!(
            results(&report),
            [("d", ResourceResult::Deleted), ("b", ResourceResult::Deleted)]
        );
        assert_eq!(report.exit, Exit::Done);
        let left: Vec<String> = cloud.state().boxes.keys().cloned().collect();
        assert_eq!(left, ["box-a", "box-c", "box-e"]);
    });
}

#[test]
fn an_unknown_part_is_refused() {
    let cloud = Cloud::default();
    let error = Draft::new(row(), only(&["z"]))
        .unwrap()
        .bind(&cloud)
        .err()
        .unwrap();
    insta::assert_snapshot!(error, @"template boxes declares no resource z");
}

#[test]
fn a_property_of_the_run_overrides_the_template() {
    block_on(async {
        let cloud = Cloud::default();
        setup(&cloud, &[]).await;
        let mut request = only(&["b"]);
        let properties = BTreeMap::from([("size".to_owned(), serde_json::json!(9))]);
        request.properties.insert("b".to_owned(), properties);
        let pipeline = Draft::new(row(), request).unwrap().bind(&cloud).unwrap();
        let plan = pipeline.plan().await.unwrap();
        let report = pipeline.apply(plan, SILENT, &Stop::default()).await.unwrap();
        assert_eq!(report.resources[1].detail, "size: 2 → 9");
        assert_eq!(cloud.state().boxes["box-b"].size, 9);
    });
}

#[test]
fn names_of_account_wide_resources_differ_between_pipelines() {
    let location = |region: &str| Location {
        account: "1".into(),
        region: region.into(),
        partition: "aws".into(),
    };
    let orders = Identity::new("stream", "orders");
    assert_eq!(suffix(&orders, true, &location("us-east-1")), "");
    assert_eq!(suffix(&orders, false, &location("us-east-1")), "-orders");
    assert_eq!(
        suffix(&orders, false, &location("eu-west-1")),
        "-orders-eu-west-1"
    );
}

proptest! {
    /// After any number of crashes at any calls, the same setup ends in the same state, and a destroy leaves nothing.
    #[test]
    fn a_setup_after_crashes_ends_in_the_same_state(crashes in prop::collection::vec(0usize..14, 0..4), size in 1i64..9) {
        let size = size.to_string();
        let (healed, whole, left) = block_on(async {
            let values = [("size", size.as_str()), ("extra", "true")];
            let cloud = Cloud::default();
            for crash in crashes {
                cloud.state().crash_after = Some(crash);
                setup(&cloud, &values).await;
            }
            cloud.state().crash_after = None;
            assert_eq!(setup(&cloud, &values).await.exit, Exit::Done);
            let untouched = Cloud::default();
            setup(&untouched, &values).await;
            let boxes = |cloud: &Cloud| cloud.state().boxes.clone();
            let pair = (boxes(&cloud), boxes(&untouched));
            assert_eq!(destroy(&cloud, false).await.exit, Exit::Done);
            (pair.0, pair.1, cloud.state().boxes.len())
        });
        prop_assert_eq!(healed, whole);
        prop_assert_eq!(left, 0);
    }

    #[test]
    fn a_destroy_after_a_crash_leaves_nothing(crash in 0usize..16, again in 0usize..6) {
        block_on(async {
            let cloud = Cloud::default();
            cloud.state().crash_after = Some(crash);
            setup(&cloud, &[("extra", "true")]).await;
            cloud.state().crash_after = Some(again);
            destroy(&cloud, false).await;
            cloud.state().crash_after = None;
            assert_eq!(destroy(&cloud, false).await.exit, Exit::Done);
            assert!(cloud.state().boxes.is_empty());
        });
    }
}
