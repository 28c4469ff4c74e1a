//! Everything a running server has, as something to judge.

use oncilla_api::{Kind, Object};
use oncilla_store::rest::{Client, Collection, RestError};

use super::world::World;

/// Everything a server has.
pub(crate) async fn list(client: &Client) -> Result<World, RestError> {
    let mut objects = Vec::new();
    let mut notes = Vec::new();
    for kind in Kind::ALL {
        for stored in client.list(&Collection::of(kind)).await?.objects {
            match Object::decode(kind, stored.value) {
                Ok(mut object) => {
                    object.default_fields();
                    objects.push(object);
                }
                // What nobody can read is enforced closed, by whom it may concern.
                Err(errors) => {
                    let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
                    notes.push(format!(
                        "{} is left out, it cannot be understood ({}); agents may deny what it selects",
                        stored.key,
                        reasons.join("; ")
                    ));
                }
            }
        }
    }
    let mut world = World::running(objects);
    world.notes = notes;
    Ok(world)
}
