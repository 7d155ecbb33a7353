"""How strange images are to a trained model: scores, how well they tell good from bad, and a page of the worst."""
