use std::sync::Mutex;

use super::*;

/// Groups of events, in pages of two with an empty page between.
#[derive(Default)]
struct Fake(Mutex<Vec<LogLine>>);

impl LogSource for Fake {
    async fn page(&self, group: &str, from_ms: i64, _: Option<&str>, token: Option<String>) -> Result<Page> {
        let mut lines: Vec<LogLine> = self.0.lock().unwrap().clone();
        lines.retain(|line| line.group == group && line.at_ms >= from_ms);
        lines.sort_by_key(|line| line.at_ms);
        // An empty page comes between two full pages.
        let (empty, at) = match token.as_deref() {
            None => (false, 0),
            Some(token) => (
                token.starts_with('e'),
                token.trim_start_matches('e').parse().unwrap(),
            ),
        };
        if empty {
            return Ok(Page {
                lines: Vec::new(),
                next: Some(at.to_string()),
            });
        }
        Ok(Page {
            next: (at + 2 < lines.len()).then(|| format!("e{}", at + 2)),
            lines: lines.into_iter().skip(at).take(2).collect(),
        })
    }
}

impl Fake {
    fn add(&self, group: &str, at_ms: i64, message: &str, id: &str) {
        self.0.lock().unwrap().push(LogLine {
            group: group.to_owned(),
            stream: "s".to_owned(),
            at_ms,
            id: id.to_owned(),
            message: message.to_owned(),
        });
    }
}

fn query(from_ms: i64) -> Query {
    Query {
        groups: vec!["a".to_owned(), "b".to_owned()],
        from_ms,
        pattern: None,
    }
}

async fn all(fake: &Fake, from_ms: i64) -> Vec<String> {
    let mut seen = Vec::new();
    read(fake, &query(from_ms), |line| {
        seen.push(line.message);
        Ok(true)
    })
    .await
    .unwrap();
    seen
}

#[tokio::test]
async fn groups_are_merged_by_time_through_all_their_pages() {
    let fake = Fake::default();
    for (at, message) in [(1, "a1"), (3, "a3"), (5, "a5"), (7, "a7")] {
        fake.add("a", at, message, message);
    }
    fake.add("b", 2, "b2", "b2");
    fake.add("b", 6, "b6", "b6");
    assert_eq!(all(&fake, 0).await, ["a1", "b2", "a3", "a5", "b6", "a7"]);
    assert_eq!(all(&fake, 3).await, ["a3", "a5", "b6", "a7"]);
}

#[tokio::test]
async fn following_shows_each_event_once_and_late_ones_too() {
    for ids in [true, false] {
        let id = |id: &'static str| if ids { id } else { "" };
        let fake = Fake::default();
        let mut follower = Follower::new(query(0));
        fake.add("a", 100_000, "one", id("1"));
        fake.add("a", 100_000, "one", id("2"));
        let shown = |lines: Vec<LogLine>| lines.into_iter().map(|line| line.message).collect::<Vec<_>>();
        assert_eq!(shown(follower.poll(&fake).await.unwrap()), ["one", "one"]);
        assert_eq!(shown(follower.poll(&fake).await.unwrap()), [""; 0]);
        // One late event, one of the same millisecond, and one new event.
        fake.add("b", 99_000, "late", id("3"));
        fake.add("a", 100_000, "one", id("4"));
        fake.add("a", 200_000, "two", id("5"));
        assert_eq!(shown(follower.poll(&fake).await.unwrap()), ["late", "one", "two"]);
        assert_eq!(shown(follower.poll(&fake).await.unwrap()), [""; 0]);
        assert_eq!(
            follower.seen.len(),
            1,
            "what is too old to come again is forgotten"
        );
    }
}
