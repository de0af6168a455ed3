"""What every process needs: settings, logging, errors, names."""
