"""Everything that needs a teacher."""
