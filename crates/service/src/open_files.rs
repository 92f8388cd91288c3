//! How many files and connections the system lets this process have open at once.
//!
//! The soft limit is often 1,024, for the sake of programs that use `select`; ours do not. What may be raised without asking
//! anybody is raised; whoever wants less sets the hard limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. Where the system refuses, the limit stays as it was.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "the limit of open files stays as it is");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let maximum = getrlimit(Resource::Nofile).maximum.expect("the hard limit of open files is a number");
        // One less harms no other test of this process.
        let lower = Rlimit { current: Some(maximum - 1), maximum: Some(maximum) };
        setrlimit(Resource::Nofile, lower).unwrap();
        raise_limit();
        assert_eq!(getrlimit(Resource::Nofile).current, Some(maximum));
    }
}
