typedef void *TaskHandle_t;
void vTaskDelay(TickType_t ticks);
int xTaskCreate(void (*task)(void *), const char *name, uint32_t stack, void *argument, unsigned priority,
                TaskHandle_t *handle);
