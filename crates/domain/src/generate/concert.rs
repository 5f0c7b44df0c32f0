//! Data of concerts: artists and venues become known, concerts are announced, tickets are sold.

use super::{Dice, Event, Model, hundredths, rfc3339};

const GENRES: [&str; 8] = [
    "jazz",
    "indie",
    "rock",
    "pop",
    "classical",
    "folk",
    "electronic",
    "soul",
];
const FIRST: [&str; 8] = [
    "Vega", "Northern", "Luna", "Quiet", "Silver", "Harbour", "Paper", "Ember",
];
const SECOND: [&str; 8] = [
    "Trio",
    "Lines",
    "Park",
    "Quartet",
    "Rivers",
    "Lights",
    "Collective",
    "Echo",
];
const CITIES: [(&str, &str); 8] = [
    ("Valencia", "ES"),
    ("Kassel", "DE"),
    ("Ghent", "BE"),
    ("Lyon", "FR"),
    ("Porto", "PT"),
    ("Leeds", "GB"),
    ("Turin", "IT"),
    ("Malmo", "SE"),
];
const HALLS: [&str; 5] = ["Hall", "Theatre", "Arena", "Club", "Meadow"];
/// Prices of tickets, in hundredths.
const PRICES: [u64; 5] = [2950, 4500, 6250, 8990, 12_000];
const DAY_MS: i64 = 86_400_000;

#[derive(Default)]
pub(super) struct Agency {
    artists: u64,
    venues: u64,
    concerts: u64,
    sales: u64,
    records: u64,
}

impl Model for Agency {
    fn next(&mut self, dice: &mut Dice, now_ms: i64) -> Event {
        self.records += 1;
        // Nothing refers to what was not told yet.
        let kind = match (self.artists, self.venues, self.concerts) {
            (0, ..) => 0,
            (_, 0, _) => 1,
            (_, _, 0) => 2,
            _ => dice.weighted([5, 3, 10, 82].into_iter()),
        };
        let (data_type, payload, key) = match kind {
            0 => self.artist(dice),
            1 => self.venue(dice),
            2 => self.concert(dice, now_ms),
            _ => self.sale(dice),
        };
        let data = format!(
            r#"{{"record_id":"concert-{:06}","source":"generator","data_type":"{data_type}","ingestion_timestamp":"{}","payload":{payload}}}"#,
            self.records,
            rfc3339(now_ms)
        );
        Event { data, key: Some(key) }
    }
}

impl Agency {
    fn artist(&mut self, dice: &mut Dice) -> (&'static str, String, String) {
        self.artists += 1;
        let id = format!("a-{}", 100 + self.artists);
        let (first, second) = (dice.pick(&FIRST), dice.pick(&SECOND));
        let (genre, popularity) = (dice.pick(&GENRES), dice.below(101));
        let payload = format!(
            r#"{{"artist_id":"{id}","name":"{first} {second}","genres":["{genre}"],"popularity":{popularity}}}"#
        );
        ("artists", payload, format!("artist_{id}"))
    }

    fn venue(&mut self, dice: &mut Dice) -> (&'static str, String, String) {
        self.venues += 1;
        let id = format!("v-{}", 200 + self.venues);
        let ((city, country), hall) = (dice.pick(&CITIES), dice.pick(&HALLS));
        let capacity = 50 * (4 + dice.popular(200));
        let payload = format!(
            r#"{{"venue_id":"{id}","name":"{city} {hall}","location":{{"city":"{city}","country":"{country}"}},"capacity":{capacity}}}"#
        );
        ("venues", payload, format!("venue_{id}"))
    }

    fn concert(&mut self, dice: &mut Dice, now_ms: i64) -> (&'static str, String, String) {
        self.concerts += 1;
        let id = format!("c-{}", 300 + self.concerts);
        let (artist, venue) = (101 + dice.below(self.artists), 201 + dice.below(self.venues));
        let date = rfc3339(now_ms.saturating_add(dice.between(14, 200) * DAY_MS));
        let status = if dice.chance(4) { "cancelled" } else { "scheduled" };
        let payload = format!(
            r#"{{"concert_id":"{id}","artist_id":"a-{artist}","venue_id":"v-{venue}","date":"{date}","status":"{status}"}}"#
        );
        ("concerts", payload, format!("concert_{id}"))
    }

    fn sale(&mut self, dice: &mut Dice) -> (&'static str, String, String) {
        self.sales += 1;
        // The latest concerts sell best.
        let concert = 300 + self.concerts - dice.popular(self.concerts);
        let (quantity, price) = (1 + dice.popular(6), *dice.pick(&PRICES));
        let payload = format!(
            r#"{{"sale_id":"s-{}","concert_id":"c-{concert}","quantity":{quantity},"unit_price":{},"total_price":{},"currency":"EUR"}}"#,
            5000 + self.sales,
            hundredths(price),
            hundredths(price * quantity)
        );
        ("ticket_sales", payload, format!("ticket_c-{concert}"))
    }
}
