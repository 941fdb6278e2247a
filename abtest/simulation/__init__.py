"""Traffic with a known truth: users who visit, see slates, click, buy and come back."""
