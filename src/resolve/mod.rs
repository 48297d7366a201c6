//! Spec + tables + lock → recipe.
