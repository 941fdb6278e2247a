"""The self-test: every method on thousands of experiments whose truth is known, and whether it kept its promises."""
