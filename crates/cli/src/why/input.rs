//! Everything a running server has, as something to judge.

use oncilla_api::{FieldError, Kind, Object};
use oncilla_store::rest::{Client, Collection, RestError};

use super::unread::Unread;
use super::world::World;

/// Everything a server has.
pub(crate) async fn list(client: &Client) -> Result<World, RestError> {
    let mut objects = Vec::new();
    let mut unread = Vec::new();
    for kind in Kind::ALL {
        for stored in client.list(&Collection::of(kind)).await?.objects {
            match Object::decode(kind, stored.value) {
                Ok(mut object) => {
                    object.default_fields();
                    objects.push(object);
                }
                Err(errors) => {
                    let reasons: Vec<String> = errors.iter().map(FieldError::to_string).collect();
                    unread.push(Unread {
                        key: stored.key,
                        reason: reasons.join("; "),
                    });
                }
            }
        }
    }
    let mut world = World::running(objects);
    world.unread = unread;
    Ok(world)
}
