//! The policies of users, groups and roles, and the users that access keys belong to.

use awsim_iam::state::IamState;

use crate::authorise::{Policy, PolicySet};

/// What stands for the text of an AWS managed policy, which awsim does not know.
const ALLOWS_ALL: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// The policies of the user, group or role `arn`; `None` where it does not exist.
pub(super) fn of(state: &IamState, arn: &str) -> Option<PolicySet> {
    let name = arn.rsplit('/').next()?;
    let (_, entity) = arn.rsplit_once(':')?;
    match entity.split('/').next()? {
        "role" => {
            let role = state.roles.get(name).filter(|role| role.arn == arn)?;
            let boundary = state.role_permissions_boundaries.get(name);
            Some(PolicySet {
                identity: collect(
                    state,
                    "role",
                    name,
                    &role.inline_policies,
                    &role.attached_policies,
                ),
                boundary: boundary.and_then(|arn| managed(state, &arn)),
            })
        }
        "user" => {
            let user = state.users.get(name).filter(|user| user.arn == arn)?;
            let mut identity = collect(
                state,
                "user",
                name,
                &user.inline_policies,
                &user.attached_policies,
            );
            for group in &user.groups {
                identity.extend(of_group(state, group).unwrap_or_default());
            }
            let boundary = state.user_permissions_boundaries.get(name);
            Some(PolicySet {
                identity,
                boundary: boundary.and_then(|arn| managed(state, &arn)),
            })
        }
        "group" => {
            state.groups.get(name).filter(|group| group.arn == arn)?;
            Some(PolicySet {
                identity: of_group(state, name)?,
                boundary: None,
            })
        }
        _ => None,
    }
}

/// The ARN of the user that has the access key `key`.
pub(super) fn user_with_key(state: &IamState, key: &str) -> Option<String> {
    let has = |user: &awsim_iam::state::User| user.access_keys.iter().any(|own| own.access_key_id == key);
    let user = state.users.iter().find(|user| has(user))?;
    Some(user.arn.clone())
}

/// The secret access key of a user's access key `key`.
pub(super) fn secret_of_key(state: &IamState, key: &str) -> Option<String> {
    state.users.iter().find_map(|user| {
        let own = user.access_keys.iter().find(|own| own.access_key_id == key)?;
        Some(own.secret_access_key.clone())
    })
}

fn of_group(state: &IamState, name: &str) -> Option<Vec<Policy>> {
    let group = state.groups.get(name)?;
    Some(collect(
        state,
        "group",
        name,
        &group.inline_policies,
        &group.attached_policies,
    ))
}

/// The inline and attached policies of an entity, in the order of their names.
fn collect<'a>(
    state: &IamState,
    kind: &str,
    name: &str,
    inline: impl IntoIterator<Item = (&'a String, &'a String)>,
    attached: &[String],
) -> Vec<Policy> {
    let mut found: Vec<Policy> = inline
        .into_iter()
        .map(|(policy, document)| Policy {
            id: format!("{kind}_{name}_{policy}"),
            document: document.clone(),
        })
        .collect();
    found.extend(attached.iter().filter_map(|arn| managed(state, arn)));
    found.sort_by(|one, other| one.id.cmp(&other.id));
    found
}

/// The managed policy `arn`. One of AWS allows everything, since its text is not known.
fn managed(state: &IamState, arn: &str) -> Option<Policy> {
    let document = if arn.contains(":iam::aws:policy/") {
        ALLOWS_ALL.to_owned()
    } else {
        state.policies.get(arn)?.policy_document.clone()
    };
    Some(Policy {
        id: arn.rsplit('/').next().unwrap_or(arn).to_owned(),
        document,
    })
}
