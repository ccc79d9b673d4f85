"""Which customers each answer counted: kept at home, so that a customer can be shown it."""
