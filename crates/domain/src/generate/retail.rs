//! Customer events of a shop: users come, look at products in a session, and some buy.

use serde_json::json;

use super::{Dice, Event, Model, hundredths};

const USERS: u64 = 200;
const PRODUCTS: u64 = 100;
/// The most users at the same time.
const SESSIONS: usize = 25;
/// How often each type of event is.
const TYPES: [(&str, u64); 6] = [
    ("view", 60),
    ("add_to_cart", 20),
    ("purchase", 10),
    ("wishlist", 5),
    ("review", 3),
    ("share", 2),
];

#[derive(Default)]
pub(super) struct Shop {
    sessions: Vec<Session>,
}

struct Session {
    user: u64,
    id: String,
    /// What the user looks at.
    product: u64,
    /// How many events are left.
    left: u64,
}

impl Shop {
    /// The session of the next event: an old one, or that of a user who comes.
    fn session(&mut self, dice: &mut Dice) -> usize {
        let is_full = self.sessions.len() >= SESSIONS;
        if !self.sessions.is_empty() && (is_full || dice.chance(85)) {
            return dice.below(self.sessions.len() as u64) as usize;
        }
        let user = 1 + dice.popular(USERS);
        self.sessions.push(Session {
            user,
            id: format!("s-{user:03}-{}", dice.hex(6)),
            product: 1 + dice.popular(PRODUCTS),
            left: 2 + dice.below(12),
        });
        self.sessions.len() - 1
    }
}

impl Model for Shop {
    fn next(&mut self, dice: &mut Dice, now_ms: i64) -> Event {
        let index = self.session(dice);
        let kind = TYPES[dice.weighted(TYPES.iter().map(|(_, weight)| *weight))].0;
        let session = &mut self.sessions[index];
        if kind == "view" {
            session.product = 1 + dice.popular(PRODUCTS);
        }
        let user = format!("user-{:03}", session.user);
        let product = session.product;
        let mut data = format!(
            r#"{{"userId":"{user}","eventType":"{kind}","productId":"P{product:04}","sessionId":"{}","timestamp":{now_ms}"#,
            session.id
        );
        match kind {
            "purchase" => {
                // The same product has the same price.
                let price = 499 + Dice::new(product).below(40_000);
                let quantity = 1 + dice.popular(4);
                data.push_str(&format!(
                    r#","price":{},"quantity":{quantity}"#,
                    hundredths(price)
                ));
            }
            "review" => data.push_str(&format!(r#","rating":{}"#, 5 - dice.popular(5))),
            "share" => data.push_str(&format!(
                r#","channel":{}"#,
                json!(dice.pick(&["mail", "chat", "link"]))
            )),
            _ => {}
        }
        data.push('}');
        session.left -= 1;
        if session.left == 0 {
            self.sessions.swap_remove(index);
        }
        Event {
            data,
            key: Some(user),
        }
    }
}
