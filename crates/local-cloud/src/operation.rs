//! The operations of a service as an enum.

/// Declares an enum of operations and their names, from a list of the names. A service reads a name with `parse` in one
/// place and matches the enum without a `_` arm, so that the compiler reports an operation that is not implemented.
macro_rules! operations {
    ($(#[$attribute:meta])* $visibility:vis enum $enum:ident { $($name:ident),+ $(,)? }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visibility enum $enum {
            $($name),+
        }

        #[allow(dead_code, reason = "not every service needs all of these")]
        impl $enum {
            /// All of them, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name in requests.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),+
                }
            }

            /// The operation with this name.
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use operations;
