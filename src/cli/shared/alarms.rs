//! One line about the alarms of a pipeline, for the commands that end with what a pipeline is like.

use super::Session;
use domain::observe::alarms::{self, Filter};
use domain::observe::doctor::Scope;
use domain::pipeline::Pipeline;

/// Says how the alarms of `pipeline` are. Alarms that cannot be listed are not the matter of these commands: then it says
/// nothing.
pub(crate) async fn say_alarms(session: &Session, pipeline: &Pipeline<'_>) {
    let Ok(context) = session.context().await else {
        return;
    };
    let all = Filter::default();
    if let (Ok(scope), Ok(found)) = (Scope::pipeline(pipeline), alarms::list(context, &all).await) {
        let of_pipeline = found.iter().filter(|alarm| alarm.is_of(&scope));
        session
            .printer()
            .note(&format!("Alarms: {}", alarms::overview(of_pipeline)));
    }
}
