//! Taking an enrolment token.
