//! Damaged files of the local cloud, as commands show them.

use crate::ui::{Printer, units};
use daemon::protocol::Damage;

/// A damaged file, with what is lost.
pub(crate) fn damage_text(damage: &Damage) -> String {
    let lost = match damage.records {
        0 => String::new(),
        records => format!(" ({} lost)", units::counted(records, "record")),
    };
    format!("{}: {}{lost}", damage.file, damage.message)
}

/// Warns of each file.
pub(crate) fn warn_of_damage(printer: &Printer, damage: &[Damage]) {
    for damage in damage {
        printer.warn(&format!(
            "a file of the local cloud is damaged: {}",
            damage_text(damage)
        ));
    }
}
