"""What the commands do with mask classifiers."""
