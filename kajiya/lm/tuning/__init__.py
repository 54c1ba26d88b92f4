"""What tuning on conversations and on preferences share: records, gate, settings, trainer, adapters, output."""
