"""When things run by themselves, and who hears of it when they fail. All but the hourly schedule are off until switched on."""
