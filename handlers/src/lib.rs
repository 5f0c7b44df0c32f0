//! What the bundled Lambda handlers share.
